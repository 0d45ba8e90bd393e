(* Multilayer networks whose weights are integers over a denominator: what an exported theorem is about. *)
From mathcomp Require Import all_ssreflect all_algebra.
From Coq Require Import Ring ZArith.
From Sdpcert Require Import field_ring integers dominance.
Import GRing.Theory.
Local Open Scope ring_scope.

(* A list of rows. *)
Definition matrix := seq (seq Z).

Section Meaning.
Variable R : realFieldType.
Add Ring ring_of_R : (ring_laws R).
Local Notation "z %:z" := (of_Z R z) (at level 2, format "z %:z").
Local Notation dot := (dot R).

Section Network.
Variables (skips : bool) (N : Z) (phi : nat -> nat -> R -> R) (b : nat -> nat -> R).

(* phi (W h / N + b) *)
Definition layer (phi : nat -> R -> R) (W : matrix) (b : nat -> R) (h : seq R) : seq R :=
  [seq phi i (dot (nth [::] W i) h / N%:z + b i) | i <- iota 0 (size W)].

(* What the next layer reads. *)
Definition next (h z : seq R) : seq R := if skips then h ++ z else z.

(* Layer after layer, from layer g on; the output has no activation. *)
Fixpoint network (g : nat) (Ws : seq matrix) (F : matrix) (h : seq R) : seq R :=
  match Ws with
  | [::] => layer (fun _ => id) F (b g) h
  | W :: Ws' => network g.+1 Ws' F (next h (layer (phi g) W (b g) h))
  end.

(* The neurons of all layers. *)
Fixpoint trace (g : nat) (Ws : seq matrix) (h : seq R) : seq R :=
  match Ws with
  | [::] => [::]
  | W :: Ws' => let z := layer (phi g) W (b g) h in z ++ trace g.+1 Ws' (next h z)
  end.

Lemma size_layer f W c h : size (layer f W c h) = size W.
Proof. by rewrite size_map size_iota. Qed.

Lemma size_trace g Ws h h' : size (trace g Ws h) = size (trace g Ws h').
Proof. by elim: Ws g h h' => //= W Ws IH g h h'; rewrite !size_cat !size_layer (IH g.+1 _ (next h' (layer (phi g) W (b g) h'))). Qed.

Lemma nth_layer f W c h i : (i < size W)%nat -> nth 0 (layer f W c h) i = f i (dot (nth [::] W i) h / N%:z + c i).
Proof. by move=> lt; rewrite (nth_map 0%nat) ?size_iota // nth_iota. Qed.
End Network.

Definition diff (x y : seq R) : seq R := [seq p.1 - p.2 | p <- zip x y].
Definition norm2 (x : seq R) : R := \sum_(t <- x) t ^+ 2.

Lemma size_diff x y : size x = size y -> size (diff x y) = size x.
Proof. by move=> same; rewrite size_map size1_zip // same. Qed.

Lemma diff_cat x x' y y' : size x = size x' -> diff (x ++ y) (x' ++ y') = diff x x' ++ diff y y'.
Proof. by move=> same; rewrite /diff zip_cat // map_cat. Qed.

Lemma nth_diff x y i : size x = size y -> (i < size x)%nat -> nth 0 (diff x y) i = nth 0 x i - nth 0 y i.
Proof.
move=> same lt; rewrite (nth_map (0, 0)) ?size1_zip ?same //; first by rewrite nth_zip.
by rewrite -same.
Qed.

Lemma dot_diff a x y : size x = size y -> dot a (diff x y) = dot a x - dot a y.
Proof.
elim: a x y => [|c a IH] [|t x] [|u y] //=; rewrite ?subr0 // => - [same].
rewrite -/(diff x y) IH //; identity R.
Qed.
End Meaning.
Arguments layer : simpl never.
Arguments size_layer {R}.
Arguments size_trace {R}.
Arguments nth_layer {R}.
Arguments size_diff {R}.
Arguments diff_cat {R}.
Arguments nth_diff {R}.
Arguments dot_diff {R}.
