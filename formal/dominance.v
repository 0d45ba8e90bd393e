(* Diagonally dominant residual implies positive semidefinite, on lists of integers.

   A quadratic form of x = (x_0, x_1, ...) is given by its upper triangle: row i has the coefficients of x_i x_i,
   x_i x_(i+1), and so on, so that an entry beside the diagonal stands for both of the symmetric matrix. Entries that a
   list lacks are zero. *)
From mathcomp Require Import all_ssreflect all_algebra.
From Coq Require Import Ring ZArith Lia.
From Sdpcert Require Import field_ring integers.
Import Order.TTheory GRing.Theory Num.Theory.

(* ---------------------------------------------------------------- what is computed *)

Fixpoint plus (a b : seq Z) : seq Z :=
  match a, b with
  | [::], _ => b
  | _, [::] => a
  | x :: a', y :: b' => (x + y)%Z :: plus a' b'
  end.

Definition scale (c : Z) (a : seq Z) : seq Z := [seq (c * x)%Z | x <- a].

Definition norm1 (a : seq Z) : Z := foldr (fun x s => (Z.abs x + s)%Z) 0%Z a.

(* The triangle of T + c (a x) (b x). *)
Fixpoint add_product (c : Z) (a b : seq Z) (T : seq (seq Z)) : seq (seq Z) :=
  match a, b with
  | [::], _ => T
  | _, [::] => T
  | x :: a', y :: b' =>
      let row := if (x =? 0)%Z then (if (y =? 0)%Z then [::] else 0%Z :: scale (c * y) a')
                 else if (y =? 0)%Z then 0%Z :: scale (c * x) b'
                 else (c * x * y)%Z :: plus (scale (c * x) b') (scale (c * y) a') in
      plus row (head [::] T) :: add_product c a' b' (behead T)
  end.

(* The triangle of T + (l x)^2. *)
Fixpoint add_square (l : seq Z) (T : seq (seq Z)) : seq (seq Z) :=
  match l with
  | [::] => T
  | x :: l' =>
      (if (x =? 0)%Z then head [::] T else plus ((x * x)%Z :: scale (2 * x) l') (head [::] T))
      :: add_square l' (behead T)
  end.

(* Whether twice the form of T, without k times the squares of U and of the columns L (the first is about all of x, the
   next about x_1, x_2, ..., and so on) is at least the sum of debts_i x_i^2. *)
Fixpoint dominant (k : Z) (debts : seq Z) (T U : seq (seq Z)) (L : seq (seq Z)) : bool :=
  match T, L with
  | [::], _ => nilp U && nilp L && all (fun d => (d <=? 0)%Z) debts
  | row :: T', _ =>
      let V := add_square (head [::] L) U in
      let row := plus row (scale (- k) (head [::] V)) in
      let rest := behead row in
      (head 0%Z debts + norm1 rest <=? 2 * head 0%Z row)%Z
      && dominant k (plus (behead debts) [seq Z.abs x | x <- rest]) T' (behead V) (behead L)
  end.

(* ---------------------------------------------------------------- what it means *)

Local Open Scope ring_scope.

Section Forms.
Variable R : realFieldType.
Add Ring ring_of_R : (ring_laws R).
Local Notation "z %:z" := (of_Z R z) (at level 2, format "z %:z").

Fixpoint dot (a : seq Z) (x : seq R) : R :=
  match a, x with
  | c :: a', t :: x' => c%:z * t + dot a' x'
  | _, _ => 0
  end.

Fixpoint form (T : seq (seq Z)) (x : seq R) : R :=
  match T, x with
  | row :: T', t :: x' => t * dot row x + form T' x'
  | _, _ => 0
  end.

(* The squares of the columns L. *)
Fixpoint squares (L : seq (seq Z)) (x : seq R) : R :=
  match L, x with
  | l :: L', _ :: x' => dot l x ^+ 2 + squares L' x'
  | _, _ => 0
  end.

Lemma dot_nil a : dot a [::] = 0.
Proof. by case: a. Qed.

Lemma dot_plus a b x : dot (plus a b) x = dot a x + dot b x.
Proof.
elim: a b x => [|c a IH] [|d b] [|t x] /=; rewrite ?addr0 ?add0r //.
rewrite IH of_ZD; identity R.
Qed.
Arguments plus : simpl never.

Lemma dot_scale c a x : dot (scale c a) x = c%:z * dot a x.
Proof.
elim: a x => [|d a IH] [|t x] /=; rewrite ?mulr0 //.
rewrite IH of_ZM; identity R.
Qed.

Lemma form_nil T : form T [::] = 0.
Proof. by case: T. Qed.

Lemma form_cons T t x : form T (t :: x) = t * dot (head [::] T) (t :: x) + form (behead T) x.
Proof. by case: T => //=; rewrite mulr0 add0r; case: x. Qed.

Lemma form_add_product c a b T x : form (add_product c a b T) x = form T x + c%:z * (dot a x * dot b x).
Proof.
elim: a b T x => [|d a IH] [|e b] T [|t x]; rewrite ?form_nil /= ?mul0r ?mulr0 ?addr0 //.
rewrite -/(dot _ (t :: x)) IH (form_cons T).
have -> : forall r, dot (plus r (head [::] T)) (t :: x) = dot r (t :: x) + dot (head [::] T) (t :: x).
  by move=> r; rewrite dot_plus.
have -> : dot (if (d =? 0)%Z then if (e =? 0)%Z then [::] else 0%Z :: scale (c * e) a
    else if (e =? 0)%Z then 0%Z :: scale (c * d) b
    else (c * d * e)%Z :: plus (scale (c * d) b) (scale (c * e) a)) (t :: x)
  = c%:z * (d%:z * e%:z * t + d%:z * dot b x + e%:z * dot a x).
  case: Z.eqb_spec => [-> | _]; case: Z.eqb_spec => [-> | _] /=; rewrite ?dot_plus ?dot_scale ?of_ZM ?of_Z0; identity R.
identity R.
Qed.

Lemma form_add_square l T x : form (add_square l T) x = form T x + dot l x ^+ 2.
Proof.
elim: l T x => [|c l IH] T [|t x]; rewrite ?form_nil /= ?expr2 ?mulr0 ?addr0 //.
rewrite IH (form_cons T).
case: Z.eqb_spec => [-> | _]; first by rewrite of_Z0; identity R.
rewrite dot_plus /= dot_scale !of_ZM of_Z2; identity R.
Qed.

(* |a| . x^2 *)
Definition weighted (a : seq Z) (x : seq R) : R := dot a [seq t ^+ 2 | t <- x].

Lemma square_nonneg (t : R) : 0 <= t ^+ 2.
Proof. by rewrite expr2 -expr2 sqr_ge0. Qed.

Lemma weighted_nonpositive a x : all (fun d => (d <=? 0)%Z) a -> weighted a x <= 0.
Proof.
rewrite /weighted; elim: a x => [|d a IH] [|t x] //= /andP [/Z.leb_spec0 d0 rest].
rewrite -oppr_ge0 opprD addr_ge0 ?oppr_ge0 ?IH // mulr_le0_ge0 ?square_nonneg //.
exact: (of_Z_le R _ 0).
Qed.

Lemma norm1_ge0 a : (0 <= norm1 a)%Z.
Proof. by elim: a => //= c a IH; lia. Qed.

(* 2 t u >= - t^2 - u^2, row by row. *)
Lemma row_bound a t x :
  - (norm1 a)%:z * t ^+ 2 - weighted [seq Z.abs z | z <- a] x <= 2%:R * (t * dot a x).
Proof.
rewrite /weighted; elim: a x => [|c a IH] [|u x] /=; rewrite ?mulr0 ?mul0r ?oppr0 ?addr0 ?mul0r //.
- by rewrite mulNr oppr_le0 mulr_ge0 ?square_nonneg // of_Z_ge0 //; have := norm1_ge0 a; lia.
rewrite of_ZD of_Z_abs.
have := IH x; set w := dot _ _; set s := of_Z R (norm1 a) => below.
rewrite -subr_ge0 in below; rewrite -subr_ge0.
have -> : 2%:R * (t * (c%:z * u + dot a x)) - (- (`|c%:z| + s) * t ^+ 2 - (`|c%:z| * u ^+ 2 + w))
  = (2%:R * (t * dot a x) - (- s * t ^+ 2 - w)) + (`|c%:z| * (t ^+ 2 + u ^+ 2) + 2%:R * (c%:z * (t * u))).
  identity R.
rewrite addr_ge0 //; case: (lerP 0 c%:z) => [c0 | /ltW c0].
- rewrite ger0_norm //.
  have -> : c%:z * (t ^+ 2 + u ^+ 2) + 2%:R * (c%:z * (t * u)) = c%:z * (t + u) ^+ 2 by identity R.
  by rewrite mulr_ge0 ?square_nonneg.
- rewrite ler0_norm //.
  have -> : - c%:z * (t ^+ 2 + u ^+ 2) + 2%:R * (c%:z * (t * u)) = - c%:z * (t - u) ^+ 2 by identity R.
  by rewrite mulr_ge0 ?square_nonneg // oppr_ge0.
Qed.

Theorem dominant_sound k debts T U L x : dominant k debts T U L ->
  weighted debts x <= 2%:R * (form T x - k%:z * (form U x + squares L x)).
Proof.
elim: T debts U L x => [|row T IH] debts U L [|t x] /=.
- case/andP => /andP [/nilP -> /nilP ->] all0; rewrite /= addr0 mulr0 subr0 mulr0.
  exact: weighted_nonpositive.
- case/andP => /andP [/nilP -> /nilP ->] all0; rewrite /= addr0 mulr0 subr0 mulr0.
  exact: weighted_nonpositive.
- by rewrite /weighted !form_nil dot_nil; case: L => [|l L] _; rewrite addr0 mulr0 subr0 mulr0.
case/andP => /Z.leb_spec0; set V := add_square _ _; set r := plus _ _ => diagonal rest.
have := IH _ _ _ x rest; rewrite /weighted dot_plus -!/(weighted _ _) => below.
have -> : form U (t :: x) + squares L (t :: x) = form V (t :: x) + squares (behead L) x.
  rewrite form_add_square; case: (L) => [|l L'] /=; last by identity R.
  by rewrite expr2 mulr0 !addr0.
rewrite (form_cons V).
have split : t * dot row (t :: x) - k%:z * (t * dot (head [::] V) (t :: x)) = t * dot r (t :: x).
  rewrite dot_plus dot_scale of_ZN; identity R.
have head_tail : dot r (t :: x) = (head 0%Z r)%:z * t + dot (behead r) x.
  by case: (r) => [|c a] //=; rewrite mul0r addr0.
have debt : weighted debts (t :: x) = (head 0%Z debts)%:z * t ^+ 2 + weighted (behead debts) x.
  by rewrite /weighted; case: (debts) => [|c a] //=; rewrite mul0r addr0.
have := of_Z_le R _ _ diagonal; rewrite of_ZD of_ZM -subr_ge0 => dominating.
have := row_bound (behead r) t x; rewrite -subr_ge0 => rowwise.
rewrite -subr_ge0 in below; rewrite debt -subr_ge0.
have := addr_ge0 (addr_ge0 (mulr_ge0 dominating (square_nonneg t)) rowwise) below.
rewrite of_Z2; congr (_ <= _).
move: split; rewrite head_tail => split.
have -> : t * dot row (t :: x) = t * ((head 0%Z r)%:z * t + dot (behead r) x) + k%:z * (t * dot (head [::] V) (t :: x)).
  by rewrite -split; identity R.
identity R.
Qed.

(* 2^(2q) D M D - L L' dominant, so M >= 0: here the powers of two are k, and D is in T. *)
Corollary dominant_nonnegative k T L x : (0 <= k)%Z -> dominant k [::] T [::] L -> 0 <= form T x.
Proof.
move=> k0 /(dominant_sound _ _ _ _ _ x); rewrite /weighted /= add0r.
have squares_ge0 : forall L (x : seq R), 0 <= squares L x.
  by elim=> [|l L' IH] [|t y] //=; rewrite addr_ge0 ?square_nonneg.
rewrite pmulr_rge0 ?ltr0n // subr_ge0; apply: le_trans.
by rewrite mulr_ge0 ?of_Z_ge0.
Qed.
End Forms.
