(* Identities of commutative rings: Coq's tactic [ring] for the fields of mathcomp.

   A section says [Add Ring ring_of_R : (ring_laws R).] and proves identities with [identity]. *)
From mathcomp Require Import all_ssreflect all_algebra.
From Coq Require Import Ring.
Import GRing.Theory.
Local Open Scope ring_scope.

(* The operations under one name each: [ring] compares names, and mathcomp has several for the sum of a field. *)
Definition zero (R : realFieldType) : R := 0.
Definition one (R : realFieldType) : R := 1.
Definition add (R : realFieldType) (a b : R) : R := a + b.
Definition mul (R : realFieldType) (a b : R) : R := a * b.
Definition opp (R : realFieldType) (a : R) : R := - a.

Lemma ring_laws (R : realFieldType) :
  ring_theory (zero R) (one R) (@add R) (@mul R) (fun a b => add R a (opp R b)) (@opp R) (@eq R).
Proof.
split=> //; [exact: add0r | exact: addrC | exact: addrA | exact: mul1r | exact: mulrC | exact: mulrA
  | exact: mulrDl | exact: subrr].
Qed.

Ltac named R :=
  repeat match goal with
  | |- context [@GRing.add ?V ?a ?b] => change (@GRing.add V a b) with (add R a b)
  | |- context [@GRing.mul ?V ?a ?b] => change (@GRing.mul V a b) with (mul R a b)
  | |- context [@GRing.opp ?V ?a] => change (@GRing.opp V a) with (opp R a)
  | |- context [@GRing.zero ?V] => change (@GRing.zero V) with (zero R)
  | |- context [@GRing.one ?V] => change (@GRing.one V) with (one R)
  end;
  match goal with |- @eq _ ?a ?b => change (@eq (Num.RealField.sort R) a b) end.

Ltac identity R := rewrite ?expr2 ?mulr2n; named R; ring.
