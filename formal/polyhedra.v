(** * Polyhedra are closed on segments, over any ordered field

    So over the rational numbers too, finitely many polyhedra that cover a convex set and on which a map has a constant
    are enough for the theorem [cover]: no completeness is needed where pieces are cut by affine functions. *)

From mathcomp Require Import all_ssreflect all_algebra.
From Sdpcert Require Import sequence cover pieces.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Polyhedra.
Variables (R : realFieldType) (n : nat).
Implicit Types (x y : 'cV[R]_n) (T : set R n) (h : 'cV[R]_n -> R).

(** A polyhedron is all of the space, cut by finitely many half-spaces. *)
Inductive polyhedral : set R n -> Prop :=
| Whole : polyhedral (fun=> True)
| Cut T h b : polyhedral T -> affine h -> polyhedral (both T (fun x => h x <= b)).

Lemma convex_halfspace h b : affine h -> convex (fun x => h x <= b).
Proof.
move=> affine_h x y t hx hy /andP[t_ge0 t_le1]; rewrite affine_h.
have -> : h x + t * (h y - h x) = (1 - t) * h x + t * h y by rewrite mulrBr mulrBl mul1r addrCA addrC.
by rewrite -[b](subrK (t * b)) -{1}[b]mul1r -mulrBl ler_add // ler_wpmul2l // subr_ge0.
Qed.

Lemma polyhedral_convex T : polyhedral T -> convex T.
Proof. by elim=> // {}T h b _ convexT /(@convex_halfspace _ b); apply: convex_both. Qed.

(** The last point of a polyhedron on a segment is the end of the segment, or where it leaves a half-space. *)
Lemma polyhedral_last T x y s : polyhedral T -> on_segment s -> T (point x y s) -> exists t, last_point T x y t.
Proof.
move=> polyT s_on; elim: polyT => {T} [_|T h b polyT IH affine_h [Ts hs]].
  by exists 1; split=> // [|t /andP[]]; rewrite /on_segment ?ler01 ?lexx.
have [t [t_on Tt last]] := IH Ts; have le_st := last _ s_on Ts.
have [ht|lt_bh] := leP (h (point x y t)) b.
  by exists t; split=> // q q_on [Tq _]; apply: last.
pose k := h y - h x; have value q : h (point x y q) = h x + q * k := affine_h x y q.
have lt_st : s < t by rewrite lt_neqAle le_st andbT; apply: contraL lt_bh => /eqP <-; rewrite -leNgt.
have k_gt0 : 0 < k.
  have : 0 < (t - s) * k.
    by rewrite mulrBl -(ltr_add2l (h x + s * k)) addr0 addrACA subrr addr0 -!value (le_lt_trans hs).
  by rewrite pmulr_rgt0 // subr_gt0.
pose r := (b - h x) / k; have before q : (h (point x y q) <= b) = (q <= r).
  by rewrite value ler_pdivl_mulr // ler_subr_addl.
have [le_sr lt_rt] : s <= r /\ r < t by rewrite -before hs ltNge -before -ltNge lt_bh.
have [[s_ge0 _] [_ t_le1]] := (andP s_on, andP t_on).
have r_on : on_segment r by rewrite /on_segment (le_trans s_ge0) //= (le_trans (ltW lt_rt)).
exists r; split=> // [|q q_on [_]]; last by rewrite before.
split; last by rewrite before.
have ts_gt0 : 0 < t - s by rewrite subr_gt0.
have -> : point x y r = point (point x y s) (point x y t) ((r - s) / (t - s)).
  by rewrite point_within divfK ?gt_eqF // addrC subrK.
apply: polyhedral_convex => //; rewrite /on_segment divr_ge0 ?subr_ge0 //= ?(ltW lt_st) //.
by rewrite ler_pdivr_mulr // mul1r ler_add2r ltW.
Qed.

Theorem polyhedral_closed T : polyhedral T -> closed_on_segments T.
Proof. by move=> polyT x y s s_on Ts none; have [t /none] := polyhedral_last polyT s_on Ts. Qed.

End Polyhedra.

Print Assumptions polyhedral_closed.
