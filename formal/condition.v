(* The condition implies the bound.

   A stacked network: an input x, neurons z_j = phi_j(v_j) with preactivations v = K (x, z) + b, an output
   y = F (x, z) + c. Nothing says that K is triangular: a feed-forward network is the case in which it is, an implicit
   one (an equilibrium) the general one. If the quadratic form of the condition is nonnegative, then
   |y - y'|^2 <= rho |x - x'|^2 for any two runs. Over any ordered field. *)
From mathcomp Require Import all_ssreflect all_algebra.
From Coq Require Import Ring.
From Sdpcert Require Import field_ring.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Slopes.
Variable R : realFieldType.
Add Ring ring_of_R : (ring_laws R).

(* The difference quotients of phi are in [alpha, beta]. *)
Definition slopes (alpha beta : R) (phi : R -> R) :=
  forall a b, b < a -> alpha * (a - b) <= phi a - phi b <= beta * (a - b).

(* What the condition needs of them. *)
Lemma sector alpha beta phi a b : slopes alpha beta phi ->
  (phi a - phi b - alpha * (a - b)) * (phi a - phi b - beta * (a - b)) <= 0.
Proof.
move=> H; case: (ltgtP a b) => [lt | lt | ->]; last by rewrite !subrr !mulr0 subrr mul0r.
- have /andP [low high] := H b a lt.
  have -> : (phi a - phi b - alpha * (a - b)) * (phi a - phi b - beta * (a - b)) =
    (phi b - phi a - alpha * (b - a)) * (phi b - phi a - beta * (b - a)) by identity R.
  by rewrite mulr_ge0_le0 ?subr_ge0 ?subr_le0.
- have /andP [low high] := H a b lt.
  by rewrite mulr_ge0_le0 ?subr_ge0 ?subr_le0.
Qed.

Definition relu (a : R) := if 0 <= a then a else 0.
Definition leaky_relu (s a : R) := if 0 <= a then a else s * a.

(* Lines that meet at zero. *)
Lemma slopes_leaky_relu s : s <= 1 -> slopes s 1 (leaky_relu s).
Proof.
move=> s1 a b lt; rewrite /leaky_relu mul1r.
have ab : 0 <= a - b by rewrite subr_ge0 ltW.
case: (lerP 0 a) => a0; case: (lerP 0 b) => b0.
- by rewrite lexx andbT ler_pimull.
- have [b1 t] : b <= 0 /\ 0 <= 1 - s by rewrite ltW // subr_ge0.
  apply/andP; split; rewrite -subr_ge0.
  + have -> : a - s * b - s * (a - b) = (1 - s) * a by identity R.
    exact: mulr_ge0.
  + have -> : a - b - (a - s * b) = (1 - s) * - b by identity R.
    by rewrite mulr_ge0 ?oppr_ge0.
- by move: (le_lt_trans b0 lt); rewrite ltNge (ltW a0).
- by rewrite -mulrBr lexx /= ler_pimull.
Qed.

Lemma slopes_relu : slopes 0 1 relu.
Proof.
move=> a b lt; have := slopes_leaky_relu 0 ler01 a b lt.
by rewrite /leaky_relu /relu !mul0r.
Qed.

Lemma slopes_abs : slopes (-1) 1 (fun a : R => `|a|).
Proof.
move=> a b lt; rewrite mulN1r mul1r -ler_norml.
by rewrite -(ger0_norm (_ : 0 <= a - b)) ?ler_dist_dist // subr_ge0 ltW.
Qed.

Lemma slopes_id : slopes 1 1 id.
Proof. by move=> a b _; rewrite mul1r lexx. Qed.
End Slopes.

Section Condition.
Variables (R : realFieldType) (I J O : finType). (* the inputs, the neurons, the outputs *)
Add Ring ring_of_R : (ring_laws R).
Variables (K : J -> I + J -> R) (F : O -> I + J -> R) (b : J -> R) (c : O -> R) (phi : J -> R -> R).
Variables (alpha beta lambda : J -> R) (rho : R).

Definition apply {T : finType} (A : T -> I + J -> R) (xi : I + J -> R) t := \sum_s A t s * xi s.
Definition square {T : finType} (u : T -> R) := \sum_t u t ^+ 2.
Definition input (xi : I + J -> R) i := xi (inl i).
Definition neurons (xi : I + J -> R) j := xi (inr j).
Definition output (xi : I + J -> R) o := apply F xi o + c o.

(* xi = (x, z) is a run of the network. *)
Definition run xi := forall j, neurons xi j = phi j (apply K xi j + b j).

(* xi' M xi of the condition. *)
Definition form xi :=
  rho * square (input xi) - square (apply F xi)
  + 2%:R * \sum_j lambda j * ((neurons xi j - alpha j * apply K xi j) * (neurons xi j - beta j * apply K xi j)).

Lemma apply_sub {T : finType} (A : T -> I + J -> R) xi xi' t :
  apply A (fun s => xi s - xi' s) t = apply A xi t - apply A xi' t.
Proof. by rewrite /apply -sumrB; apply: eq_bigr => s _; rewrite mulrBr. Qed.

Theorem condition_implies_bound :
  (forall j, slopes R (alpha j) (beta j) (phi j)) -> (forall j, 0 <= lambda j) ->
  (forall xi, 0 <= form xi) ->
  forall xi xi', run xi -> run xi' ->
  square (fun o => output xi o - output xi' o) <= rho * square (fun i => xi (inl i) - xi' (inl i)).
Proof.
move=> slope positive semidefinite xi xi' runs runs'.
pose d s := xi s - xi' s.
have -> : square (fun o => output xi o - output xi' o) = square (apply F d).
  apply: eq_bigr => o _; rewrite apply_sub /output; congr (_ ^+ 2); identity R.
have sum0 : \sum_j lambda j * ((neurons d j - alpha j * apply K d j) * (neurons d j - beta j * apply K d j)) <= 0.
  rewrite -oppr_ge0 -sumrN; apply: sumr_ge0 => j _; rewrite oppr_ge0 mulr_ge0_le0 // apply_sub.
  have -> : neurons d j = phi j (apply K xi j + b j) - phi j (apply K xi' j + b j).
    by rewrite -runs -runs'.
  have -> : apply K xi j - apply K xi' j = (apply K xi j + b j) - (apply K xi' j + b j) by identity R.
  exact: sector.
have := semidefinite d; rewrite /form => whole.
rewrite -subr_ge0; apply: le_trans whole _.
by rewrite ger_addl mulr_ge0_le0 // ler0n.
Qed.
End Condition.
