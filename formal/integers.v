(* Coq's binary integers, which compute, as elements of an ordered field. *)
From mathcomp Require Import all_ssreflect all_algebra.
From Coq Require Import Ring ZArith Lia.
From Sdpcert Require Import field_ring.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Integers.
Variable R : realFieldType.
Add Ring ring_of_R : (ring_laws R).

Definition of_Z (z : Z) : R :=
  match z with
  | Z0 => 0
  | Zpos p => (Pos.to_nat p)%:R
  | Zneg p => - (Pos.to_nat p)%:R
  end.

Lemma of_Z_nat n : of_Z (Z.of_nat n) = n%:R.
Proof. by case: n => //= n; rewrite SuccNat2Pos.id_succ. Qed.

Lemma of_ZN z : of_Z (- z) = - of_Z z.
Proof. by case: z => [|p|p] /=; rewrite ?oppr0 ?opprK. Qed.

Lemma of_Z_sub m n : of_Z (Z.of_nat m - Z.of_nat n) = m%:R - n%:R.
Proof.
case: (leqP n m) => [nm | /ltnW mn].
- have -> : (Z.of_nat m - Z.of_nat n)%Z = Z.of_nat (m - n)%nat by move/ssrnat.leP: nm; rewrite -minusE; lia.
  by rewrite of_Z_nat natrB.
- have -> : (Z.of_nat m - Z.of_nat n)%Z = (- Z.of_nat (n - m)%nat)%Z by move/ssrnat.leP: mn; rewrite -minusE; lia.
  by rewrite of_ZN of_Z_nat natrB // opprB.
Qed.

(* Every integer is a difference of two natural numbers. *)
Lemma difference z : exists m n, z = (Z.of_nat m - Z.of_nat n)%Z.
Proof. exists (Z.to_nat z), (Z.to_nat (- z)); lia. Qed.

Lemma of_ZD y z : of_Z (y + z) = of_Z y + of_Z z.
Proof.
have [m [n ->]] := difference y; have [p [q ->]] := difference z.
have -> : (Z.of_nat m - Z.of_nat n + (Z.of_nat p - Z.of_nat q))%Z
  = (Z.of_nat (m + p)%nat - Z.of_nat (n + q)%nat)%Z by rewrite -!plusE; lia.
rewrite !of_Z_sub !natrD; identity R.
Qed.

Lemma of_ZM y z : of_Z (y * z) = of_Z y * of_Z z.
Proof.
have [m [n ->]] := difference y; have [p [q ->]] := difference z.
have -> : ((Z.of_nat m - Z.of_nat n) * (Z.of_nat p - Z.of_nat q))%Z
  = (Z.of_nat (m * p + n * q)%nat - Z.of_nat (m * q + n * p)%nat)%Z by rewrite -!plusE -!multE; lia.
rewrite !of_Z_sub !natrD !natrM; identity R.
Qed.

Lemma of_Z0 : of_Z 0 = 0.
Proof. by []. Qed.

Lemma of_Z1 : of_Z 1 = 1.
Proof. by []. Qed.

Lemma of_Z2 : of_Z 2 = 2%:R.
Proof. by []. Qed.

Lemma of_Z_ge0 z : (0 <= z)%Z -> 0 <= of_Z z.
Proof. by case: z => [|p|p] H; rewrite ?ler0n //; lia. Qed.

Lemma of_Z_gt0 z : (0 < z)%Z -> 0 < of_Z z.
Proof. by case: z => [|p|p] H; try lia; rewrite /of_Z ltr0n; apply/ssrnat.ltP; lia. Qed.

Lemma of_Z_le y z : (y <= z)%Z -> of_Z y <= of_Z z.
Proof. by move=> H; rewrite -subr_ge0 -of_ZN -of_ZD of_Z_ge0 //; lia. Qed.

Lemma of_Z_abs z : of_Z (Z.abs z) = `|of_Z z|.
Proof. by case: z => [|p|p] /=; rewrite ?normr0 // ?normrN normr_nat. Qed.
End Integers.
Arguments of_Z : simpl never.
Arguments Z.mul : simpl never.
Arguments Z.add : simpl never.
