(** * The condition on a set of inputs

    The part of kind "restriction" of a certificate, and a bounded piece of a cover. If the preactivations stay within
    [l_j <= v_j <= u_j] on a set [X] of inputs, then only difference quotients between points of these intervals matter
    there, and the condition with slopes that hold of those bounds the map on [X]. No convexity is needed. With [X]
    everything and no ends this is the part of kind "condition". *)

From mathcomp Require Import all_ssreflect all_algebra.
From Coq Require Import Ring.
From Sdpcert Require Import field_ring condition sequence.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Restriction.
Variables (R : realFieldType) (m n : nat) (J : finType).
Add Ring ring_of_R : (ring_laws R).
Variables (K : J -> 'I_m + J -> R) (F : 'I_n -> 'I_m + J -> R) (b : J -> R) (c : 'I_n -> R) (phi : J -> R -> R).
Variables (alpha beta lambda : J -> R) (rho : R).

(** [f x] is the output of a run of the network with the input [x], for every [x] of [X], and on that run the
    preactivation of each neuron is in its interval. *)
Definition computes_within (X : set R m) (interval : J -> R -> Prop) (f : 'cV[R]_m -> 'cV[R]_n) :=
  forall x, X x -> exists xi, [/\ run R _ _ K b phi xi, forall i, xi (inl i) = x i 0,
    forall o, f x o 0 = output R _ _ _ F c xi o & forall j, interval j (apply R _ _ K xi j + b j)].

(** The difference quotients of [g] between two points of an interval are in [low, high]. *)
Definition slopes_within (interval : R -> Prop) low high (g : R -> R) :=
  forall s t, interval s -> interval t -> t < s -> low * (s - t) <= g s - g t <= high * (s - t).

Lemma sector_within interval low high g s t : slopes_within interval low high g -> interval s -> interval t ->
  (g s - g t - low * (s - t)) * (g s - g t - high * (s - t)) <= 0.
Proof.
move=> slope; wlog lt_ts : s t / t < s => [wlog_lt s_in t_in|s_in t_in].
  have [lt|lt|->] := ltgtP t s; [exact: wlog_lt | | by rewrite !subrr !mulr0 subrr mul0r].
  have -> : (g s - g t - low * (s - t)) * (g s - g t - high * (s - t)) =
    (g t - g s - low * (t - s)) * (g t - g s - high * (t - s)) by identity R.
  exact: wlog_lt.
by have /andP[le_low le_high] := slope _ _ s_in t_in lt_ts; rewrite mulr_ge0_le0 ?subr_ge0 ?subr_le0.
Qed.

Theorem restriction_lipschitz X interval f : computes_within X interval f ->
  (forall j, slopes_within (interval j) (alpha j) (beta j) (phi j)) -> (forall j, 0 <= lambda j) ->
  (forall xi, 0 <= form R _ _ _ K F alpha beta lambda rho xi) -> lipschitz_on X rho f.
Proof.
move=> runs slope lambda_ge0 semidefinite x y Xx Xy.
have [[xi [run_x in_x out_x v_x]] [xi' [run_y in_y out_y v_y]]] := (runs x Xx, runs y Xy).
pose d s := xi s - xi' s; have := semidefinite d; rewrite /form.
have -> : square R (apply R _ _ F d) = norm2 (f x - f y).
  apply: eq_bigr => o _; rewrite apply_sub !mxE out_x out_y /output; congr (_ ^+ 2); identity R.
have -> : square R (input R _ _ d) = norm2 (x - y).
  by apply: eq_bigr => i _; rewrite /input /d in_x in_y !mxE.
move=> whole; rewrite -subr_ge0; apply: le_trans whole _; rewrite ger_addl mulr_ge0_le0 ?ler0n //.
rewrite -oppr_ge0 -sumrN; apply: sumr_ge0 => j _; rewrite oppr_ge0 mulr_ge0_le0 // apply_sub.
have -> : neurons R _ _ d j = phi j (apply R _ _ K xi j + b j) - phi j (apply R _ _ K xi' j + b j).
  by rewrite -run_x -run_y.
have -> : apply R _ _ K xi j - apply R _ _ K xi' j = (apply R _ _ K xi j + b j) - (apply R _ _ K xi' j + b j).
  identity R.
exact: sector_within.
Qed.

End Restriction.

Print Assumptions restriction_lipschitz.
