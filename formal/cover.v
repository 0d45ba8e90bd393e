(** * A bound on finitely many closed pieces is a bound on the convex region that they cover

    Let a convex set [X] be covered by finitely many closed pieces, and let a map [f], of which nothing is assumed, have
    the squared Lipschitz constant [rho] between any two points of the same piece. Then it has [rho] between any two
    points of [X]. Proof: follow the segment from [x] to [y]. A piece has a first and a last point on it, and between
    these two [f] moves by no more than [rho] allows. What is left are two segments, one before and one after, that the
    other pieces cover, ends included, as these are closed and finitely many. By induction on the number of pieces [f]
    moves by no more than [rho] allows on both, and the three moves add up.

    All of this is on segments, so all that is needed of a piece is that it has a last point on every segment that it
    meets. Over any ordered field this holds of half-spaces and boxes; over a complete one, such as the real numbers,
    of every closed set. No axiom is used. The statements that are proved are comparisons of two numbers, which are
    decidable, so that arguments by cases need no excluded middle. *)

From mathcomp Require Import all_ssreflect all_algebra.
From Sdpcert Require Import sequence.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Segments.
Variables (R : realFieldType) (n : nat).
Implicit Types (x y : 'cV[R]_n) (s t : R) (T U : set R n) (Ts : seq (set R n)).

(** The point of the segment from [x] (at 0) to [y] (at 1) that is at [t]. *)
Definition point x y t := x + t *: (y - x).

Lemma point0 x y : point x y 0 = x.
Proof. by rewrite /point scale0r addr0. Qed.

Lemma point1 x y : point x y 1 = y.
Proof. by rewrite /point scale1r addrC subrK. Qed.

Lemma point_reversed x y t : point y x t = point x y (1 - t).
Proof. by rewrite /point scalerBl scale1r -[x - y]opprB scalerN addrA [x + _]addrC subrK. Qed.

Lemma point_difference x y s t : point x y t - point x y s = (t - s) *: (y - x).
Proof. by rewrite /point opprD addrACA subrr add0r scalerBl. Qed.

Lemma point_mean x y t : point x y t = (1 - t) *: x + t *: y.
Proof. by rewrite /point scalerBr scalerBl scale1r addrCA addrC. Qed.

Lemma point_within x y a b t : point (point x y a) (point x y b) t = point x y (a + t * (b - a)).
Proof. by rewrite {1}/point point_difference scalerA /point -addrA -scalerDl. Qed.

Lemma norm2_point x y s t : norm2 (point x y t - point x y s) = (t - s) ^+ 2 * norm2 (y - x).
Proof. by rewrite point_difference norm2Z. Qed.

Definition on_segment t := 0 <= t <= 1.

Lemma on_segment_reversed t : on_segment t -> on_segment (1 - t).
Proof. by case/andP=> t_ge0 t_le1; rewrite /on_segment subr_ge0 t_le1 ler_subl_addr ler_addl. Qed.

Lemma on_segment_within a b t : on_segment a -> on_segment b -> on_segment t -> on_segment (a + t * (b - a)).
Proof.
move=> /andP[a_ge0 a_le1] /andP[b_ge0 b_le1] /andP[t_ge0 t_le1].
have -> : a + t * (b - a) = (1 - t) * a + t * b by rewrite mulrBr mulrBl mul1r addrA addrAC.
have t'_ge0 : 0 <= 1 - t by rewrite subr_ge0.
rewrite /on_segment addr_ge0 ?mulr_ge0 //=.
by rewrite -[X in _ <= X](subrK t) ler_add // ler_pimulr.
Qed.

Definition convex T := forall x y t, T x -> T y -> on_segment t -> T (point x y t).

(** [t] is the last point of [T] on a segment. A set is closed on segments if it has a last point on every segment that
    it meets (it is not so that it has none; and by reversing the segment, a first one). *)
Definition last_point T x y t := [/\ on_segment t, T (point x y t) &
  forall s, on_segment s -> T (point x y s) -> s <= t].

Definition closed_on_segments T := forall x y s, on_segment s -> T (point x y s) ->
  ~ (forall t, ~ last_point T x y t).

Definition first_point T x y t := [/\ on_segment t, T (point x y t) &
  forall s, on_segment s -> T (point x y s) -> t <= s].

Lemma first_of_reversed T x y t : last_point T y x t -> first_point T x y (1 - t).
Proof.
case=> t_on Tt last; split=> [||s s_on Ts]; first exact: on_segment_reversed.
  by rewrite -point_reversed.
rewrite ler_subl_addr -ler_subl_addl; apply: last; first exact: on_segment_reversed.
by rewrite point_reversed subKr.
Qed.

(** Closed sets that together cover a segment but for its start have the start as well. *)
Definition either T U : set R n := fun x => T x \/ U x.

Lemma closed_either T U : closed_on_segments T -> closed_on_segments U -> closed_on_segments (either T U).
Proof.
move=> closedT closedU x y s s_on TUs none.
have noT r : on_segment r -> ~ T (point x y r).
  move=> r_on Tr; apply: (closedT _ _ _ r_on Tr) => t lastT; have [t_on Tt maxT] := lastT.
  have noU q : on_segment q -> ~ U (point x y q).
    move=> q_on Uq; apply: (closedU _ _ _ q_on Uq) => u [u_on Uu maxU].
    case: (leP t u) => [le_tu|/ltW le_ut].
      by apply: (none u); split=> // [|q' q'_on [/maxT/le_trans->|/maxU->]//]; right.
    by apply: (none t); split=> // [|q' q'_on [/maxT->|/maxU/le_trans->]//]; left.
  by apply: (none t); split=> // [|q q_on [/maxT->|/noU]//]; left.
have Us : U (point x y s) by case: TUs => // /noT.
apply: (closedU _ _ _ s_on Us) => u [u_on Uu maxU].
by apply: (none u); split=> // [|q q_on [/noT|/maxU->]//]; right.
Qed.

(** The pieces of a list together, and what all of them have. *)
Fixpoint union Ts : set R n := if Ts is T :: Us then either T (union Us) else fun=> False.

Fixpoint all_of (P : set R n -> Prop) Ts : Prop := if Ts is T :: Us then P T /\ all_of P Us else True.

Lemma closed_union Ts : all_of closed_on_segments Ts -> closed_on_segments (union Ts).
Proof. by elim: Ts => [_ x y s _ []|T Ts IH [closedT /IH]]; apply: closed_either. Qed.

Lemma closed_at_start U x y : closed_on_segments U ->
  (forall t, on_segment t -> 0 < t -> ~ ~ U (point x y t)) -> ~ ~ U x.
Proof.
move=> closedU covered noUx.
have one_on : on_segment 1 by rewrite /on_segment ler01 lexx.
apply: (covered 1 one_on ltr01); rewrite -[1]subr0 -point_reversed => U0.
have zero_on : on_segment 0 by rewrite /on_segment ler01 lexx.
apply: (closedU _ _ _ zero_on U0) => t /first_of_reversed[]; set s := 1 - t => s_on Us first.
have [s0|s_gt0] := altP (s =P 0).
  by apply: noUx; rewrite -(point0 x y) -s0.
have {}s_gt0 : 0 < s by rewrite lt_def s_gt0; case/andP: s_on.
have half_lt : s / 2%:R < s by rewrite ltr_pdivr_mulr ?ltr0n // ltr_pmulr // ltr1n.
have half_gt0 : 0 < s / 2%:R by rewrite divr_gt0 ?ltr0n.
have half_on : on_segment (s / 2%:R).
  by case/andP: s_on => _ s_le1; rewrite /on_segment ltW //= (le_trans (ltW half_lt)).
by apply: (covered _ half_on half_gt0) => /(first _ half_on); rewrite leNgt half_lt.
Qed.

End Segments.

(** ** The claim *)

Section Cover.
Variables (R : realFieldType) (m n : nat).
Implicit Types (x y : 'cV[R]_m) (T : set R m) (Ts : seq (set R m)).
Variables (rho : R) (f : 'cV[R]_m -> 'cV[R]_n).

(** The moves on two consecutive ways of one segment add up. *)
Lemma moves_add x y r s t : r <= s -> s <= t ->
  norm2 (f (point x y s) - f (point x y r)) <= rho * norm2 (point x y s - point x y r) ->
  norm2 (f (point x y t) - f (point x y s)) <= rho * norm2 (point x y t - point x y s) ->
  norm2 (f (point x y t) - f (point x y r)) <= rho * norm2 (point x y t - point x y r).
Proof.
move=> le_rs le_st; rewrite !norm2_point !(mulrCA rho) => move1 move2.
have -> : f (point x y t) - f (point x y r) = f (point x y s) - f (point x y r) + (f (point x y t) - f (point x y s)).
  by rewrite [RHS]addrC addrA subrK.
have -> : t - r = s - r + (t - s) by rewrite [RHS]addrC addrA subrK.
by apply: norm2_triangle; rewrite ?subr_ge0.
Qed.

(** A segment that [T] and other, closed, pieces cover, and on which [T] has no point but perhaps the start, is covered
    by the others. *)
Lemma rest_covered T Ts x y : all_of (@closed_on_segments R m) Ts ->
  (forall t, on_segment t -> ~ ~ either T (union Ts) (point x y t)) ->
  (forall t, on_segment t -> 0 < t -> ~ T (point x y t)) -> forall t, on_segment t -> ~ ~ union Ts (point x y t).
Proof.
move=> closedTs covered outside.
have later t : on_segment t -> 0 < t -> ~ ~ union Ts (point x y t).
  by move=> t_on t_gt0 noTs; apply: (covered t t_on) => -[/(outside t t_on t_gt0)|].
move=> t t_on; have [t_ge0 _] := andP t_on; move: t_ge0; rewrite le_eqVlt => /predU1P[<-|]; last exact: later.
by rewrite point0; apply: closed_at_start later; apply: closed_union.
Qed.

(** A segment that is covered by closed pieces on which [f] has the constant. *)
Lemma segment_covered Ts x y : all_of (@closed_on_segments R m) Ts -> all_of (fun T => lipschitz_on T rho f) Ts ->
  (forall t, on_segment t -> ~ ~ union Ts (point x y t)) -> norm2 (f y - f x) <= rho * norm2 (y - x).
Proof.
have one_on : on_segment (1 : R) by rewrite /on_segment ler01 lexx.
have zero_on : on_segment (0 : R) by rewrite /on_segment ler01 lexx.
elim: Ts x y => [|T Ts IH] x y; first by move=> _ _ /(_ 0 zero_on) [].
move=> [closedT closedTs] [boundT boundTs] covered.
pose moves s t := norm2 (f (point x y t) - f (point x y s)) <= rho * norm2 (point x y t - point x y s).
have moves_sym s t : moves s t -> moves t s by rewrite /moves norm2_sym [norm2 (point x y t - _)]norm2_sym.
have moves_outside s t : on_segment s -> on_segment t ->
    (forall r, on_segment r -> 0 < r -> s != t -> ~ T (point x y (s + r * (t - s)))) -> moves s t.
  move=> s_on t_on outside; have [->|ne_st] := eqVneq s t; first by rewrite /moves !subrr !norm2_0 mulr0.
  apply: IH => //; apply: (rest_covered (T := T)) => // r r_on; rewrite point_within.
    exact/covered/on_segment_within.
  by move=> r_gt0; apply: outside.
suff : moves 0 1 by rewrite /moves point0 point1.
apply: contraT => /negP wrong; exfalso.
have noT s : on_segment s -> ~ T (point x y s).
  move=> s_on Ts_s; apply: (closedT _ _ _ s_on Ts_s) => b [b_on Tb last].
  have T_rev : T (point y x (1 - s)) by rewrite point_reversed subKr.
  apply: (closedT _ _ _ (on_segment_reversed s_on) T_rev) => a' /first_of_reversed[].
  set a := 1 - a' => a_on Ta first; have le_ab : a <= b by apply: first.
  have [[a_ge0 a_le1] [b_ge0 b_le1]] := (andP a_on, andP b_on).
  apply: wrong; apply: (moves_add b_ge0 b_le1); first apply: (moves_add a_ge0 le_ab).
  - apply/moves_sym/moves_outside => // r r_on r_gt0 a_neq0 /(first _ (on_segment_within a_on zero_on r_on)).
    by rewrite sub0r mulrN ler_addl oppr_ge0 pmulr_rle0 // leNgt lt_def a_neq0 a_ge0.
  - exact: boundT.
  - apply/moves_outside => // r r_on r_gt0 b_neq1 /(last _ (on_segment_within b_on one_on r_on)).
    by rewrite ger_addl pmulr_rle0 // subr_le0 leNgt lt_neqAle b_neq1 b_le1.
apply: wrong; apply: moves_outside => // r r_on _ _; rewrite subr0 add0r mulr1; exact: noT.
Qed.

(** The theorem, with the largest constant of the pieces. It is enough that no point of [X] can be outside of all. *)
Lemma cover_classically X Ts : convex X -> all_of (@closed_on_segments R m) Ts -> (forall x, X x -> ~ ~ union Ts x) ->
  all_of (fun T => exists2 rho', rho' <= rho & lipschitz_on T rho' f) Ts -> lipschitz_on X rho f.
Proof.
move=> convexX closedTs covers bounds x y Xx Xy; rewrite norm2_sym [norm2 (x - y)]norm2_sym.
apply: (segment_covered closedTs) => [|t t_on]; last exact/covers/convexX.
elim: Ts bounds {closedTs covers} => //= T Ts IH [[rho' le bound] /IH]; split=> //.
exact: lipschitz_weaken bound.
Qed.

Theorem cover X Ts : convex X -> all_of (@closed_on_segments R m) Ts -> (forall x, X x -> union Ts x) ->
  all_of (fun T => exists2 rho', rho' <= rho & lipschitz_on T rho' f) Ts -> lipschitz_on X rho f.
Proof. by move=> convexX closedTs covers; apply: cover_classically => // x /covers Ts_x noTs; apply: noTs. Qed.

End Cover.

Print Assumptions cover.
