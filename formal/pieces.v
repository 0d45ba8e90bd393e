(** * How a region is divided: closed sets, flat pieces, and the tree of splits

    What [cover] asks of pieces is shown here of those that certificates have (docs/certificate-format.md, Regions),
    over a complete ordered field, that is, the real numbers. Completeness is a hypothesis of the theorems, no axiom.
    Closed pieces are not enough without it: a function of a rational number that steps from 0 to 1 at the square root
    of 2 is constant on two closed pieces.

    A piece without interior need not be bounded: if it lies where an affine function is zero that is not zero on all of
    the convex region, then the other closed pieces still cover the region. *)

From mathcomp Require Import all_ssreflect all_algebra.
From Sdpcert Require Import sequence cover.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** Every nonempty set that is bounded above has a least upper bound. *)
Definition complete (R : realFieldType) := forall E : R -> Prop,
  (exists t, E t) -> (exists b, forall t, E t -> t <= b) ->
  exists2 s, forall t, E t -> t <= s & forall b, (forall t, E t -> t <= b) -> s <= b.

Lemma small_square (R : realFieldType) (c d : R) : 0 <= c -> 0 < d -> exists2 e, 0 < e & e ^+ 2 * c < d.
Proof.
move=> c_ge0 d_gt0; have sum_gt0 : 0 < 1 + c + d by rewrite -addrA ltr_paddr ?ltr01 // ?addr_ge0 // ltW.
have c_lt : c < 1 + c + d by rewrite -addrA addrCA ltr_addl addr_gt0 ?ltr01.
have d_le : d <= 1 + c + d by rewrite ler_addr addr_ge0 ?ler01.
pose e := d / (1 + c + d); have e_gt0 : 0 < e by rewrite divr_gt0.
exists e => //; have e_le1 : e <= 1 by rewrite ler_pdivr_mulr // mul1r.
rewrite expr2 -mulrA; apply: (@le_lt_trans _ _ (1 * (e * c))).
  by apply: ler_wpmul2r => //; rewrite mulr_ge0 // ltW.
by rewrite mul1r /e mulrAC ltr_pdivr_mulr // ltr_pmul2l.
Qed.

Section Closed.
Variables (R : realFieldType) (n : nat).
Implicit Types (x y : 'cV[R]_n) (T U : set R n) (v : 'cV[R]_n -> R).

(** A set is closed if it contains every point that it comes arbitrarily near to. *)
Definition closed T := forall x, (forall d, 0 < d -> ~ (forall y, T y -> d <= norm2 (y - x))) -> T x.

Definition both T U : set R n := fun x => T x /\ U x.

Lemma closed_both T U : closed T -> closed U -> closed (both T U).
Proof.
move=> closedT closedU x near; split; [apply: closedT | apply: closedU] => d d_gt0 far;
  by apply: (near d d_gt0) => y [Ty Uy]; apply: far.
Qed.

Definition continuous v := forall x e, 0 < e -> exists2 d, 0 < d & forall y, norm2 (y - x) < d -> `|v y - v x| < e.

Lemma closed_below v b : continuous v -> closed (fun x => v x <= b).
Proof.
move=> cont x near; rewrite leNgt; apply/negP => lt.
have gap : 0 < v x - b by rewrite subr_gt0.
have [d d_gt0 nearby] := cont x _ gap.
apply: (near d d_gt0) => y le; rewrite leNgt; apply/negP => /nearby.
by rewrite distrC ltNge (le_trans _ (ler_norm _)) // ler_sub.
Qed.

Lemma closed_above v b : continuous v -> closed (fun x => b <= v x).
Proof.
move=> cont x near; rewrite leNgt; apply/negP => lt.
have gap : 0 < b - v x by rewrite subr_gt0.
have [d d_gt0 nearby] := cont x _ gap.
apply: (near d d_gt0) => y le; rewrite leNgt; apply/negP => /nearby.
by rewrite ltNge (le_trans _ (ler_norm _)) // ler_sub.
Qed.

(** Every output of a Lipschitz map is continuous, so every preactivation of a network. *)
Lemma lipschitz_continuous k rho (g : 'cV[R]_n -> 'cV[R]_k) i : lipschitz rho g -> continuous (fun x => g x i 0).
Proof.
move=> bound x e e_gt0; have scale_gt0 : 0 < `|rho| + 1 by rewrite ltr_paddl ?ltr01.
exists (e ^+ 2 / (`|rho| + 1)) => [|y]; first by rewrite divr_gt0 ?exprn_gt0.
rewrite ltr_pdivl_mulr // => near; rewrite -(ltr_sqr (normr_nneg _)) ?nnegrE ?ltW //.
rewrite real_normK ?num_real //; apply: le_lt_trans near.
apply: (@le_trans _ _ (norm2 (g y - g x))).
  by rewrite /norm2 (bigD1 i) //= !mxE ler_addl sumr_ge0 // => j _; apply: sqr_ge0.
apply: le_trans (bound _ _) _; rewrite mulrC ler_wpmul2l ?norm2_ge0 //.
by rewrite (le_trans (ler_norm _)) // ler_addl ler01.
Qed.

Theorem closed_segments T : complete R -> closed T -> closed_on_segments T.
Proof.
move=> sup closedT x y s s_on Ts none.
have [||b upper least] := sup (fun t => on_segment t /\ T (point x y t)).
- by exists s.
- by exists 1 => t [/andP[]].
have b_on : on_segment b.
  have [s_ge0 _] := andP s_on; rewrite /on_segment (le_trans s_ge0) /= ?upper //.
  by apply: least => t [/andP[]].
apply: (none b); split=> // [|t t_on Tt]; last exact: upper.
apply: closedT => d d_gt0 far.
have [e e_gt0 small] := small_square (norm2_ge0 (y - x)) d_gt0.
have : b <= b - e.
  apply: least => t t_in; rewrite leNgt; apply/negP => lt.
  have := far _ t_in.2; rewrite norm2_point leNgt (le_lt_trans _ small) //.
  rewrite ler_wpmul2r ?norm2_ge0 // -sqrrN opprB ler_sqr ?nnegrE ?subr_ge0 ?upper ?ltW //.
  by rewrite ltr_subl_addl -ltr_subl_addr.
by rewrite ler_addl oppr_ge0 leNgt e_gt0.
Qed.

End Closed.

(** ** Flat pieces *)

Section Flat.
Variables (R : realFieldType) (n : nat).
Implicit Types (x y : 'cV[R]_n) (X T : set R n) (Ts : seq (set R n)) (h : 'cV[R]_n -> R).

Definition affine h := forall x y t, h (point x y t) = h x + t * (h y - h x).

(** [T] lies where an affine function is zero that is not zero on all of [X]. *)
Definition flat X T := exists h, [/\ affine h, forall x, T x -> h x = 0 & exists2 q, X q & h q <> 0].

(** From a point of a flat piece a way leads out of it at once. What it meets there are other pieces. *)
Lemma drop_flat X T Ts : convex X -> flat X T -> all_of (@closed_on_segments R n) Ts ->
  (forall x, X x -> ~ ~ union (T :: Ts) x) -> forall x, X x -> ~ ~ union Ts x.
Proof.
move=> convexX [h [affine_h zero [q Xq hq]]] closedTs covers x Xx noTs.
apply: (covers x Xx) => -[Tx|//].
apply: (closed_at_start (closed_union closedTs) (x := x) (y := q)) noTs => t t_on t_gt0 noTs.
apply: (covers (point x q t) (convexX _ _ _ Xx Xq t_on)) => -[/zero|//].
rewrite affine_h (zero _ Tx) subr0 add0r => /eqP; rewrite mulf_eq0 (gt_eqF t_gt0) => /eqP; exact: hq.
Qed.

(** Gordan: affine functions [h_i] that a piece has nonnegative, weighed by [g_i > 0] to a sum that is at most zero on
    [X], are all zero on the piece. So it is flat if one of them, or their sum, is not zero on all of [X]. *)
Lemma flat_of_weights (I : finType) X T (h : I -> 'cV[R]_n -> R) (g : I -> R) :
  (forall i, affine (h i)) -> (forall i, 0 < g i) -> (forall x, T x -> X x) -> (forall i x, T x -> 0 <= h i x) ->
  (forall x, X x -> \sum_i g i * h i x <= 0) -> (exists i, exists2 q, X q & h i q <> 0) -> flat X T.
Proof.
move=> affine_h g_gt0 TX h_ge0 sum_le0 [i moves]; exists (h i); split=> // x Tx.
have terms_ge0 j : 0 <= g j * h j x by rewrite mulr_ge0 ?h_ge0 // ltW.
have : \sum_j g j * h j x = 0 by apply/eqP; rewrite eq_le sum_le0 ?sumr_ge0 //; apply: TX.
move/eqP; rewrite psumr_eq0 => [/allP all0|j _]; last exact: terms_ge0.
by have := all0 i (mem_index_enum _); rewrite mulf_eq0 gt_eqF //= => /eqP.
Qed.

End Flat.

(** ** The tree *)

Section Tree.
Variables (R : realFieldType) (m n : nat) (rho : R) (f : 'cV[R]_m -> 'cV[R]_n) (X : set R m).
Implicit Types (T : set R m) (Ts : seq (set R m)).

(** A piece of [X] is bounded, or flat, or split where a continuous function of the input is [b]: a preactivation, or an
    entry of the input. An empty piece is bounded. *)
Inductive divided : set R m -> Prop :=
| Bounded T : lipschitz_on T rho f -> divided T
| Flat T : flat X T -> divided T
| Split T v b : continuous v ->
    divided (both T (fun x => v x <= b)) -> divided (both T (fun x => b <= v x)) -> divided T.

Lemma empty_bounded T : (forall x, ~ T x) -> divided T.
Proof. by move=> none; apply: Bounded => x y /none. Qed.

Lemma union_cat Ts Us x : union Ts x \/ union Us x -> union (Ts ++ Us) x.
Proof. by elim: Ts => [[//|//]|T Ts IH] /= [[Tx|Tsx]|Usx]; [left|right; apply: IH; left|right; apply: IH; right]. Qed.

Lemma all_of_cat (P : set R m -> Prop) Ts Us : all_of P Ts -> all_of P Us -> all_of P (Ts ++ Us).
Proof. by elim: Ts => //= T Ts IH [PT /IH all_Ts] /all_Ts. Qed.

(** The leaves of a tree: bounded ones and flat ones, all closed, cover its root. *)
Lemma leaves T : divided T -> closed T -> exists Bs Fs, [/\ all_of (fun T => closed T /\ lipschitz_on T rho f) Bs,
  all_of (fun T => closed T /\ flat X T) Fs & forall x, T x -> union Fs x \/ union Bs x].
Proof.
elim=> {T} [T bound|T flatT|T v b cont _ IH1 _ IH2] closedT.
- by exists [:: T], [::]; split=> //= x Tx; right; left.
- by exists [::], [:: T]; split=> //= x Tx; left; left.
have [Bs1 [Fs1 [bounds1 flats1 cover1]]] := IH1 (closed_both closedT (closed_below cont)).
have [Bs2 [Fs2 [bounds2 flats2 cover2]]] := IH2 (closed_both closedT (closed_above cont)).
exists (Bs1 ++ Bs2), (Fs1 ++ Fs2); split; try exact: all_of_cat.
move=> x Tx; have [le|/ltW ge] := leP (v x) b.
  by case: (cover1 x (conj Tx le)) => there; [left | right]; apply: union_cat; left.
by case: (cover2 x (conj Tx ge)) => there; [left | right]; apply: union_cat; right.
Qed.

Theorem divided_lipschitz : complete R -> convex X -> closed X -> divided X -> lipschitz_on X rho f.
Proof.
move=> sup convexX closedX /leaves/(_ closedX)[Bs [Fs [bounds flats covers]]].
have closedBs : all_of (@closed_on_segments R m) Bs.
  by elim: Bs bounds {covers} => //= T Ts IH [[/(closed_segments sup) closedT _] /IH].
apply: (cover_classically (Ts := Bs)) => //; last first.
  by elim: Bs bounds {covers closedBs} => //= T Ts IH [[_ bound] /IH]; split=> //; exists rho.
have {}covers x : X x -> ~ ~ union (Fs ++ Bs) x by move=> /covers there no; apply/no/union_cat.
elim: Fs flats covers => //= T Ts IH [[_ flatT] flats] covers; apply: IH => //.
apply: (drop_flat convexX flatT) covers; apply: all_of_cat closedBs.
by elim: Ts flats => //= U Us IH [[/(closed_segments sup) closedU _] /IH].
Qed.

End Tree.

(** ** Regions *)

Section Regions.
Variables (R : realFieldType) (n : nat).
Implicit Types (x y c : 'cV[R]_n) (T U : set R n).

Definition everywhere : set R n := fun=> True.
Definition box (low high : 'cV[R]_n) : set R n := fun x => forall i, low i 0 <= x i 0 <= high i 0.
Definition ball c r2 : set R n := fun x => norm2 (x - c) <= r2.

Lemma convex_both T U : convex T -> convex U -> convex (both T U).
Proof. by move=> convexT convexU x y t [Tx Ux] [Ty Uy] t_on; split; [apply: convexT | apply: convexU]. Qed.

Lemma convex_everywhere : convex everywhere. Proof. by []. Qed.
Lemma closed_everywhere : closed everywhere. Proof. by []. Qed.

Lemma convex_box low high : convex (box low high).
Proof.
move=> x y t x_in y_in /andP[t_ge0 t_le1] i; have [/andP[lx xh] /andP[ly yh]] := (x_in i, y_in i).
have t'_ge0 : 0 <= 1 - t by rewrite subr_ge0.
have mean a : a = (1 - t) * a + t * a by rewrite -mulrDl subrK mul1r.
have -> : point x y t i 0 = (1 - t) * x i 0 + t * y i 0 by rewrite !mxE mulrBl mulrBr mul1r addrA addrAC.
by rewrite {1}(mean (low i 0)) {1}(mean (high i 0)) !ler_add // ler_wpmul2l.
Qed.

Lemma closed_box low high : closed (box low high).
Proof.
have cont i : continuous (fun x : 'cV[R]_n => x i 0).
  by apply: (@lipschitz_continuous _ _ _ 1 id) => x y; rewrite mul1r.
move=> x near i; apply/andP; split.
- apply: (closed_above (b := low i 0) (cont i)) => d d_gt0 far.
  by apply: (near d d_gt0) => y /(_ i)/andP[le _]; apply: far.
- apply: (closed_below (b := high i 0) (cont i)) => d d_gt0 far.
  by apply: (near d d_gt0) => y /(_ i)/andP[_ le]; apply: far.
Qed.

Lemma convex_ball c r2 : convex (ball c r2).
Proof.
move=> x y t x_in y_in /andP[t_ge0 t_le1]; rewrite /ball.
have -> : point x y t - c = (1 - t) *: (x - c) + t *: (y - c).
  by rewrite -point_mean /point opprB [y - c + _]addrA subrK addrAC.
have -> : r2 = ((1 - t) + t) ^+ 2 * r2 by rewrite subrK expr1n mul1r.
by apply: norm2_triangle; rewrite ?subr_ge0 // norm2Z ler_wpmul2l ?sqr_ge0.
Qed.

(** If [x] has the squared distance [N > r2] from [c], then every point of the ball is at least [t] times that distance
    away from [x], where [4 t = 1 - r2 / N]: otherwise [x] would be nearer to [c] than it is. *)
Lemma closed_ball c r2 : closed (ball c r2).
Proof.
move=> x near; rewrite /ball leNgt; apply/negP; set N := norm2 (x - c) => lt.
have [N_le0|N_gt0] := leP N 0.
  apply: (near 1 ltr01) => y; rewrite /ball => /(le_trans (norm2_ge0 _)).
  by rewrite leNgt (lt_le_trans lt N_le0).
pose t := (1 - r2 / N) / 4%:R; have t4 : (t + t) *+ 2 = 1 - r2 / N.
  by rewrite -mulr2n -mulrnA -mulr_natr divfK ?pnatr_eq0.
have t_gt0 : 0 < t by rewrite divr_gt0 ?ltr0n // subr_gt0 ltr_pdivr_mulr // mul1r.
apply: (near (t ^+ 2 * N)) => [|y y_in]; first by rewrite mulr_gt0 ?exprn_gt0.
rewrite leNgt; apply/negP => /ltW; rewrite norm2_sym => close.
have r2_ge0 : 0 <= r2 := le_trans (norm2_ge0 _) y_in.
have far : norm2 (y - c) <= (1 - (t + t)) ^+ 2 * N.
  apply: (le_trans y_in); have -> : r2 = (1 - (t + t) *+ 2) * N by rewrite t4 subKr divfK ?gt_eqF.
  by rewrite ler_wpmul2r ?(ltW N_gt0) // sqrrB expr1n mul1r ler_addl sqr_ge0.
have t2_le1 : t + t <= 1.
  apply: (@le_trans _ _ ((t + t) *+ 2)); first by rewrite [X in _ <= X]mulr2n ler_addl addr_ge0 ?(ltW t_gt0).
  by rewrite t4 ger_addl oppr_le0 divr_ge0 // ltW.
have := norm2_triangle (ltW t_gt0) (_ : 0 <= 1 - (t + t)) close far; rewrite subr_ge0 addrA subrK => /(_ t2_le1).
have -> : t + (1 - (t + t)) = 1 - t by rewrite addrCA opprD [t + (_ - _)]addrA subrr add0r.
rewrite -/N leNgt -[X in _ < X]mul1r ltr_pmul2r // expr_lt1 // ?subr_ge0 ?ltr_subl_addr ?ltr_addl ?t_gt0 //.
by rewrite (le_trans _ t2_le1) // ler_addl ltW.
Qed.

End Regions.

Print Assumptions closed_segments.
Print Assumptions flat_of_weights.
Print Assumptions divided_lipschitz.
