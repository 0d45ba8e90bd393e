(** * Lipschitz maps one after the other

    A map [f] between spaces of column vectors over an ordered field has the squared Lipschitz constant [rho] on a set
    [X] if [|f x - f y|^2 <= rho |x - y|^2] for all [x], [y] of [X], with the Euclidean norm. Squares are used
    throughout, so that no square roots are needed and every ordered field will do.

    The first half has the rules by which constants of parts give that of the whole: composition, sums (residual
    branches), fan-out. The second half is the part of kind "sequence" of a certificate (docs/certificate-format.md):
    parts that each read the one before it through a joint, and the tree of such parts. *)

From mathcomp Require Import all_ssreflect all_algebra.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Norm.
Variable R : realFieldType.

(** The squared Euclidean norm. *)
Definition norm2 n (x : 'cV[R]_n) : R := \sum_i x i 0 ^+ 2.

Lemma norm2_ge0 n (x : 'cV[R]_n) : 0 <= norm2 x.
Proof. by apply: sumr_ge0 => i _; apply: sqr_ge0. Qed.

Lemma norm2_0 n : norm2 (0 : 'cV[R]_n) = 0.
Proof. by rewrite /norm2 big1 // => i _; rewrite mxE expr0n. Qed.

Lemma norm2_eq0 n (x : 'cV[R]_n) : norm2 x <= 0 -> x = 0.
Proof.
move=> le0; have /eqP : norm2 x = 0 by apply/eqP; rewrite eq_le le0 norm2_ge0.
rewrite psumr_eq0 => [/allP zero|i _]; last exact: sqr_ge0.
by apply/colP => i; rewrite mxE; apply/eqP; rewrite -sqrf_eq0; apply: zero; rewrite mem_index_enum.
Qed.

Lemma norm2Z n (c : R) (x : 'cV[R]_n) : norm2 (c *: x) = c ^+ 2 * norm2 x.
Proof. by rewrite /norm2 mulr_sumr; apply: eq_bigr => i _; rewrite mxE exprMn. Qed.

Lemma norm2N n (x : 'cV[R]_n) : norm2 (- x) = norm2 x.
Proof. by rewrite -scaleN1r norm2Z sqrrN expr1n mul1r. Qed.

Lemma norm2_sym n (x y : 'cV[R]_n) : norm2 (x - y) = norm2 (y - x).
Proof. by rewrite -opprB norm2N. Qed.

Lemma norm2_stack m n (x : 'cV[R]_m) (y : 'cV[R]_n) : norm2 (col_mx x y) = norm2 x + norm2 y.
Proof.
by rewrite /norm2 big_split_ord; congr (_ + _); apply: eq_bigr => i _; rewrite ?col_mxEu ?col_mxEd.
Qed.

Lemma square_of_sum (s t u v : R) : s * t * (u + v) ^+ 2 + (t * u - s * v) ^+ 2 = (s + t) * (t * u ^+ 2 + s * v ^+ 2).
Proof.
have -> : (t * u - s * v) ^+ 2 = t ^+ 2 * u ^+ 2 + s ^+ 2 * v ^+ 2 - s * t * (u * v *+ 2).
  by rewrite sqrrB !exprMn [t * u * (s * v)]mulrACA [t * s]mulrC -mulrnAr addrAC.
have -> : s * t * (u + v) ^+ 2 = s * t * (u ^+ 2 + v ^+ 2) + s * t * (u * v *+ 2).
  by rewrite sqrrD -mulrDr addrAC.
rewrite addrACA subrr addr0 !mulrDr !mulrDl !expr2 !mulrA [t * s]mulrC.
by rewrite addrACA; congr (_ + _); apply: addrC.
Qed.

(** Cauchy's inequality with weights [s], [t > 0], which reads [|a + b|^2 <= (s + t) (|a|^2 / s + |b|^2 / t)]. *)
Lemma norm2_cauchy n (a b : 'cV[R]_n) s t : 0 < s -> 0 < t ->
  s * t * norm2 (a + b) <= (s + t) * (t * norm2 a + s * norm2 b).
Proof.
move=> s_gt0 t_gt0; rewrite /norm2 !mulr_sumr -big_split /= mulr_sumr; apply: ler_sum => i _; rewrite mxE.
by rewrite -square_of_sum ler_addl sqr_ge0.
Qed.

(** The triangle inequality for squares: [|a| <= s C] and [|b| <= t C] give [|a + b| <= (s + t) C]; [c] is [C^2]. *)
Lemma norm2_triangle n (a b : 'cV[R]_n) s t c :
  0 <= s -> 0 <= t -> norm2 a <= s ^+ 2 * c -> norm2 b <= t ^+ 2 * c -> norm2 (a + b) <= (s + t) ^+ 2 * c.
Proof.
rewrite le_eqVlt => /predU1P[<- _|s_gt0].
  by rewrite expr0n mul0r add0r => /norm2_eq0->; rewrite add0r.
rewrite le_eqVlt => /predU1P[<- leA|t_gt0 leA leB].
  by rewrite expr0n mul0r addr0 => /norm2_eq0->; rewrite addr0.
rewrite -(ler_pmul2l (mulr_gt0 s_gt0 t_gt0)); apply: (le_trans (norm2_cauchy a b s_gt0 t_gt0)).
have -> : s * t * ((s + t) ^+ 2 * c) = (s + t) * (t * (s ^+ 2 * c) + s * (t ^+ 2 * c)).
  rewrite expr2 -[(s + t) * (s + t) * c]mulrA [s * t * _]mulrCA; congr (_ * _).
  by rewrite !expr2 -!mulrA [t * (s * _)]mulrCA -mulrDr -mulrDr -mulrDl.
by rewrite ler_pmul2l ?addr_gt0 // ler_add // ler_pmul2l.
Qed.

End Norm.

Section Lipschitz.
Variable R : realFieldType.

Definition set n := 'cV[R]_n -> Prop.

(** [f] has the squared constant [rho] on [X]; on all of the space. *)
Definition lipschitz_on m n (X : set m) rho (f : 'cV[R]_m -> 'cV[R]_n) :=
  forall x y, X x -> X y -> norm2 (f x - f y) <= rho * norm2 (x - y).

Definition lipschitz m n rho (f : 'cV[R]_m -> 'cV[R]_n) := forall x y, norm2 (f x - f y) <= rho * norm2 (x - y).

Lemma lipschitz_everywhere m n X rho (f : 'cV[R]_m -> 'cV[R]_n) : lipschitz rho f -> lipschitz_on X rho f.
Proof. by move=> bound x y _ _; apply: bound. Qed.

Lemma lipschitz_weaken m n (X : set m) rho rho' (f : 'cV[R]_m -> 'cV[R]_n) :
  rho <= rho' -> lipschitz_on X rho f -> lipschitz_on X rho' f.
Proof. by move=> le bound x y Xx Xy; apply: le_trans (bound _ _ Xx Xy) _; rewrite ler_wpmul2r ?norm2_ge0. Qed.

(** ** Rules *)

Theorem lipschitz_composition k m n (X : set k) (Y : set m) rho1 rho2
    (f : 'cV[R]_k -> 'cV[R]_m) (g : 'cV[R]_m -> 'cV[R]_n) :
  0 <= rho2 -> (forall x, X x -> Y (f x)) ->
  lipschitz_on X rho1 f -> lipschitz_on Y rho2 g -> lipschitz_on X (rho1 * rho2) (g \o f).
Proof.
move=> rho2_ge0 into bound_f bound_g x y Xx Xy.
apply: le_trans (bound_g _ _ (into _ Xx) (into _ Xy)) _.
by rewrite mulrAC [_ * rho2]mulrC ler_wpmul2l // bound_f.
Qed.

(** A sum of two branches; constants [L] are not squared here. *)
Theorem lipschitz_sum m n (X : set m) L1 L2 (f g : 'cV[R]_m -> 'cV[R]_n) : 0 <= L1 -> 0 <= L2 ->
  lipschitz_on X (L1 ^+ 2) f -> lipschitz_on X (L2 ^+ 2) g -> lipschitz_on X ((L1 + L2) ^+ 2) (fun x => f x + g x).
Proof.
move=> L1_ge0 L2_ge0 bound_f bound_g x y Xx Xy; rewrite opprD addrACA.
by apply: norm2_triangle => //; [apply: bound_f | apply: bound_g].
Qed.

Theorem lipschitz_residual n (X : set n) L (f : 'cV[R]_n -> 'cV[R]_n) : 0 <= L ->
  lipschitz_on X (L ^+ 2) f -> lipschitz_on X ((1 + L) ^+ 2) (fun x => x + f x).
Proof. by move=> L_ge0; apply: (lipschitz_sum (f := id)) => // x y _ _; rewrite expr1n mul1r. Qed.

(** Fan-out: two maps read the same input, and their outputs are stacked. *)
Theorem lipschitz_fan_out m n1 n2 (X : set m) rho1 rho2 (f : 'cV[R]_m -> 'cV[R]_n1) (g : 'cV[R]_m -> 'cV[R]_n2) :
  lipschitz_on X rho1 f -> lipschitz_on X rho2 g -> lipschitz_on X (rho1 + rho2) (fun x => col_mx (f x) (g x)).
Proof.
move=> bound_f bound_g x y Xx Xy; rewrite opp_col_mx add_col_mx norm2_stack mulrDl.
by rewrite ler_add // ?bound_f ?bound_g.
Qed.

End Lipschitz.

(** ** Parts of kind "sequence" *)

Section Sequence.
Variable R : realFieldType.

(** The metric of a part: weights [d >= 0], one for each entry of its output. *)
Definition weighted2 n (d : 'I_n -> R) (x : 'cV[R]_n) : R := \sum_i d i * x i 0 ^+ 2.

Lemma norm2_weighted n (d : 'I_n -> R) x : (forall i, 1 <= d i) -> norm2 x <= weighted2 d x.
Proof. by move=> le; apply: ler_sum => i _; rewrite ler_pemull ?sqr_ge0. Qed.

Lemma weighted_norm2 n (x : 'cV[R]_n) : weighted2 (fun=> 1) x = norm2 x.
Proof. by apply: eq_bigr => i _; rewrite mul1r. Qed.

(** A joint: input [i] of the next part is [z_k / t_i] if [layout i] is [Some k], and zero if it is [None], which is -1
    in a file. *)
Record joint m n := Joint { layout : 'I_n -> option 'I_m; scale : 'I_n -> R }.

Definition read m n (j : joint m n) (z : 'cV[R]_m) : 'cV[R]_n :=
  \col_i (if layout j i is Some k then z k 0 / scale j i else 0).

(** What a checker requires: no index twice, and [d_k t_i^2 >= 1] for every index [k] that is read. *)
Definition allowed m n (d : 'I_m -> R) (j : joint m n) : Prop :=
  (forall i i' k, layout j i = Some k -> layout j i' = Some k -> i = i') /\
  (forall i k, layout j i = Some k -> 0 < scale j i /\ 1 <= d k * scale j i ^+ 2).

(** What is summed over the inputs of a part is summed over the entries it reads, each at most once. *)
Lemma sum_read m n (j : joint m n) (w : 'I_m -> R) :
  (forall i i' k, layout j i = Some k -> layout j i' = Some k -> i = i') -> (forall k, 0 <= w k) ->
  \sum_i (if layout j i is Some k then w k else 0) <= \sum_k w k.
Proof.
move=> once w_ge0.
have -> : \sum_i (if layout j i is Some k then w k else 0) = \sum_i \sum_(k | layout j i == Some k) w k.
  apply: eq_bigr => i _; case: (layout j i) => [k|]; last by rewrite big_pred0.
  by rewrite (big_pred1 k) // => k'; rewrite eq_sym.
rewrite (exchange_big_dep xpredT) //=; apply: ler_sum => k _.
have [/existsP[i /eqP reads]|/existsPn none] := boolP [exists i, layout j i == Some k].
  rewrite (big_pred1 i) // => i' /=; apply/eqP/eqP => [reads'|->//].
  exact: once reads' reads.
by rewrite big_pred0 // => i; apply/negbTE/none.
Qed.

(** Inputs of a part differ by no more than the outputs before it do in the metric. *)
Lemma norm2_read m n (d : 'I_m -> R) (j : joint m n) z z' :
  (forall k, 0 <= d k) -> allowed d j -> norm2 (read j z - read j z') <= weighted2 d (z - z').
Proof.
move=> d_ge0 [once scales]; pose w k := d k * (z - z') k 0 ^+ 2.
apply: (@le_trans _ _ (\sum_i (if layout j i is Some k then w k else 0))); last first.
  by apply: sum_read => // k; rewrite mulr_ge0 ?sqr_ge0.
apply: ler_sum => i _; rewrite !mxE; case reads: (layout j i) => [k|]; last by rewrite subr0 expr0n.
have [t_gt0 le] := scales _ _ reads; rewrite -mulrBl exprMn exprVn ler_pdivr_mulr ?exprn_gt0 //.
by rewrite /w !mxE mulrAC ler_pemull ?sqr_ge0.
Qed.

(** The tree of parts of a certificate. [proved d L f]: [f] has the bound [L], its output measured with the weights [d].
    A sequence of more than two parts is nested, with the exact products inside. *)
Inductive proved : forall m n, ('I_n -> R) -> R -> ('cV[R]_m -> 'cV[R]_n) -> Prop :=
| Condition m n (d : 'I_n -> R) L (f : 'cV[R]_m -> 'cV[R]_n) :
    0 <= L -> (forall i, 0 <= d i) -> (forall x y, weighted2 d (f x - f y) <= L ^+ 2 * norm2 (x - y)) -> proved d L f
| Sequence k l m n (d : 'I_l -> R) (e : 'I_n -> R) L1 L2 L
    (f : 'cV[R]_k -> 'cV[R]_l) (j : joint l m) (g : 'cV[R]_m -> 'cV[R]_n) :
    proved d L1 f -> allowed d j -> proved e L2 g -> L1 * L2 <= L -> proved e L (fun x => g (read j (f x)))
| Plain m n (d : 'I_n -> R) L (f : 'cV[R]_m -> 'cV[R]_n) :
    proved d L f -> (forall i, 1 <= d i) -> proved (fun=> 1) L f.

Lemma proved_bound m n (d : 'I_n -> R) L (f : 'cV[R]_m -> 'cV[R]_n) : proved d L f ->
  [/\ 0 <= L, forall i, 0 <= d i & forall x y, weighted2 d (f x - f y) <= L ^+ 2 * norm2 (x - y)].
Proof.
elim=> {m n d L f} // [k l m n d e L1 L2 L f j g _ [L1_ge0 d_ge0 bound_f] fits _ [L2_ge0 e_ge0 bound_g] le|].
  split=> // [|x y]; first by rewrite (le_trans _ le) ?mulr_ge0.
  apply: le_trans (bound_g _ _) _.
  apply: (@le_trans _ _ (L2 ^+ 2 * (L1 ^+ 2 * norm2 (x - y)))).
    by rewrite ler_wpmul2l ?sqr_ge0 // (le_trans (norm2_read _ _ d_ge0 fits)).
  rewrite mulrA -exprMn [L2 * L1]mulrC ler_wpmul2r ?norm2_ge0 // ler_expn2r ?nnegrE ?mulr_ge0 //.
  by rewrite (le_trans _ le) ?mulr_ge0.
move=> m n d L f _ [L_ge0 _ bound] d_ge1; split=> // [_|x y]; first exact: ler01.
by rewrite weighted_norm2 (le_trans (norm2_weighted _ d_ge1)).
Qed.

(** A tree whose last metric is nowhere below 1 proves its bound in the Euclidean norm. *)
Theorem proved_lipschitz m n (d : 'I_n -> R) L (f : 'cV[R]_m -> 'cV[R]_n) :
  proved d L f -> (forall i, 1 <= d i) -> lipschitz (L ^+ 2) f.
Proof.
by move=> /proved_bound[_ _ bound] d_ge1 x y; apply: le_trans (norm2_weighted _ d_ge1) _.
Qed.

End Sequence.

Print Assumptions lipschitz_composition.
Print Assumptions lipschitz_sum.
Print Assumptions lipschitz_residual.
Print Assumptions lipschitz_fan_out.
Print Assumptions proved_lipschitz.
