(* A checker of certificates of multilayer networks, in integers, and the proof that it is right.

   Weights are integers over one denominator N, slopes integers over t; the bound of the square is P / Q. *)
From mathcomp Require Import all_ssreflect all_algebra.
From Coq Require Import Ring ZArith Lia.
From Sdpcert Require Import field_ring integers condition dominance.
Import Order.TTheory GRing.Theory Num.Theory.

(* ---------------------------------------------------------------- what is computed *)

Definition matrix := seq (seq Z).

(* c (a x) (b x) *)
Record term := Term { factor : Z; left : seq Z; right : seq Z }.

Definition shift (n : nat) (a : seq Z) : seq Z := nseq n 0%Z ++ a.

(* Entry by entry, s_i a_i. *)
Fixpoint times (s a : seq Z) : seq Z :=
  match s, a with
  | c :: s', d :: a' => (c * d)%Z :: times s' a'
  | _, _ => a
  end.

(* The upper triangle of a sum of terms in y, x_i = s_i y_i. *)
Definition triangle (s : seq Z) (ts : seq term) : seq (seq Z) :=
  foldr (fun u T => add_product (factor u) (times s (left u)) (times s (right u)) T) [::] ts.

(* Everything that is claimed and what proves it. *)
Record certificate := Certificate {
  inputs : nat;
  denominator : Z; (* N *)
  hidden : seq matrix; (* one a layer, times N *)
  output : matrix;
  slope_denominator : Z; (* t *)
  low : seq (seq Z); (* one a neuron, times t *)
  high : seq (seq Z);
  bound : Z; (* P *)
  bound_denominator : Z; (* Q *)
  multipliers : seq (seq Z); (* one a neuron *)
  scaling : seq Z; (* s_i *)
  unit_of_factor : Z; (* k *)
  columns : seq (seq Z) (* of L, each from the diagonal on *)
}.

Section Terms.
Variable C : certificate.
Local Notation N := (denominator C).
Local Notation t := (slope_denominator C).

(* P N^2 x_i^2 *)
Definition input_terms : seq term :=
  [seq Term (bound C * (N * N)) (shift i [:: 1%Z]) (shift i [:: 1%Z]) | i <- iota 0 (inputs C)].

(* N t z - a (K x), for the neuron at `place` whose row K reads what begins at `from`. *)
Definition side (from place : nat) (row : seq Z) (a : Z) : seq Z :=
  plus (shift place [:: (N * t)%Z]) (shift from (scale (- a) row)).

(* lambda (N t z - alpha K x) (N t z - beta K x), one for each neuron of a layer after m numbers that begin at `from`. *)
Definition layer_terms (from m : nat) (W : matrix) (low high multipliers : seq Z) : seq term :=
  [seq Term (nth 0%Z multipliers i) (side from (from + m + i) (nth [::] W i) (nth 0%Z low i))
            (side from (from + m + i) (nth [::] W i) (nth 0%Z high i)) | i <- iota 0 (size W)].

(* - Q (F x)^2 *)
Definition output_terms (from : nat) (F : matrix) : seq term :=
  [seq Term (- bound_denominator C) (shift from f) (shift from f) | f <- F].

Fixpoint network_terms (from m : nat) (Ws : seq matrix) (lows highs multipliers : seq (seq Z)) : seq term :=
  match Ws with
  | [::] => output_terms from (output C)
  | W :: Ws' =>
      layer_terms from m W (head [::] lows) (head [::] highs) (head [::] multipliers)
      ++ network_terms (from + m) (size W) Ws' (behead lows) (behead highs) (behead multipliers)
  end.

Definition all_terms : seq term :=
  input_terms ++ network_terms 0 (inputs C) (hidden C) (low C) (high C) (multipliers C).

(* Rows read what there is. *)
Fixpoint shaped (m : nat) (Ws : seq matrix) : bool :=
  match Ws with
  | [::] => all (fun row => size row <= m) (output C)
  | W :: Ws' => all (fun row => size row <= m) W && shaped (size W) Ws'
  end.

Definition valid : bool :=
  [&& (0 <? N)%Z, (0 <? t)%Z, (0 <? bound_denominator C)%Z, (0 <=? unit_of_factor C)%Z,
      shaped (inputs C) (hidden C), all (all (fun l => (0 <=? l)%Z)) (multipliers C),
      all (fun s => (0 <? s)%Z) (scaling C)
    & dominant (unit_of_factor C) [::] (triangle (scaling C) all_terms) [::] (columns C)].
End Terms.

(* ---------------------------------------------------------------- what it means *)

Local Open Scope ring_scope.

Section Meaning.
Variable R : realFieldType.
Add Ring ring_of_R : (ring_laws R).
Local Notation "z %:z" := (of_Z R z) (at level 2, format "z %:z").
Local Notation dot := (dot R).

Section Network.
Variables (N : Z) (phi : nat -> nat -> R -> R) (b : nat -> nat -> R).

(* phi (W h / N + b) *)
Definition layer (phi : nat -> R -> R) (W : matrix) (b : nat -> R) (h : seq R) : seq R :=
  [seq phi i (dot (nth [::] W i) h / N%:z + b i) | i <- iota 0 (size W)].

(* Layer after layer, from layer g on; the output has no activation. *)
Fixpoint network (g : nat) (Ws : seq matrix) (F : matrix) (h : seq R) : seq R :=
  match Ws with
  | [::] => layer (fun _ => id) F (b g) h
  | W :: Ws' => network g.+1 Ws' F (layer (phi g) W (b g) h)
  end.

(* The neurons of all layers. *)
Fixpoint trace (g : nat) (Ws : seq matrix) (h : seq R) : seq R :=
  match Ws with
  | [::] => [::]
  | W :: Ws' => let z := layer (phi g) W (b g) h in z ++ trace g.+1 Ws' z
  end.

Lemma size_layer f W c h : size (layer f W c h) = size W.
Proof. by rewrite size_map size_iota. Qed.

Lemma size_trace g Ws h h' : size (trace g Ws h) = size (trace g Ws h').
Proof. by elim: Ws g h h' => //= W Ws IH g h h'; rewrite !size_cat !size_layer (IH g.+1 _ (layer (phi g) W (b g) h')). Qed.

Lemma nth_layer f W c h i : (i < size W)%nat -> nth 0 (layer f W c h) i = f i (dot (nth [::] W i) h / N%:z + c i).
Proof. by move=> lt; rewrite (nth_map 0%nat) ?size_iota // nth_iota. Qed.
End Network.
Arguments layer : simpl never.

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

(* ------------------------------------------------ vectors that are written with zeros before them *)

Lemma dot_shift p a x : dot (shift (size p) a) (p ++ x) = dot a x.
Proof. by elim: p => //= t p IH; rewrite of_Z0 mul0r add0r. Qed.

Lemma dot_prefix a x y : (size a <= size x)%nat -> dot a (x ++ y) = dot a x.
Proof. by elim: a x => [|c a IH] [|t x] //= le; rewrite IH. Qed.

Lemma dot_unit i c x : dot (shift i [:: c]) x = c%:z * nth 0 x i.
Proof.
elim: i x => [|i IH] [|t x] /=; rewrite ?mulr0 ?addr0 //.
by rewrite of_Z0 mul0r add0r IH.
Qed.

(* ------------------------------------------------ terms *)

Fixpoint value (ts : seq term) (x : seq R) : R :=
  match ts with
  | [::] => 0
  | u :: ts' => (factor u)%:z * (dot (left u) x * dot (right u) x) + value ts' x
  end.

Lemma value_cat ts us x : value (ts ++ us) x = value ts x + value us x.
Proof. by elim: ts => [|u ts IH] /=; rewrite ?add0r // IH addrA. Qed.

(* y_i = x_i / s_i *)
Fixpoint over (s : seq Z) (x : seq R) : seq R :=
  match s, x with
  | c :: s', t :: x' => t / c%:z :: over s' x'
  | _, _ => x
  end.

Lemma dot_times s a x : all (fun c => (0 <? c)%Z) s -> dot (times s a) (over s x) = dot a x.
Proof.
elim: s a x => [|c s IH] [|d a] [|t x] //= /andP [/Z.ltb_spec0 c0 rest].
rewrite of_ZM IH //; congr (_ + _).
have nonzero : c%:z != 0 by rewrite gt_eqF // of_Z_gt0.
have -> : c%:z * d%:z * (t / c%:z) = d%:z * (t / c%:z * c%:z) by identity R.
by rewrite divfK.
Qed.

Lemma form_triangle s ts x : all (fun c => (0 <? c)%Z) s -> form R (triangle s ts) (over s x) = value ts x.
Proof.
move=> positive; elim: ts => [|u ts IH] /=; first by [].
by rewrite form_add_product !dot_times // IH addrC.
Qed.

Lemma value_squares c p x y :
  value [seq Term c (shift i [:: 1%Z]) (shift i [:: 1%Z]) | i <- iota (size p) (size x)] (p ++ x ++ y) = c%:z * norm2 x.
Proof.
elim: x p => [|t x IH] p /=; first by rewrite /norm2 big_nil mulr0.
have := IH (rcons p t); rewrite size_rcons cat_rcons => ->.
by rewrite !dot_shift /= of_Z1 /norm2 big_cons; case: (x ++ y) => [|? ?] /=; identity R.
Qed.

Lemma value_le0 (I : eqType) (f : I -> term) s x :
  (forall i, i \in s -> (factor (f i))%:z * (dot (left (f i)) x * dot (right (f i)) x) <= 0) ->
  value [seq f i | i <- s] x <= 0.
Proof.
elim: s => [|i s IH] //= each; rewrite -oppr_ge0 opprD addr_ge0 // oppr_ge0; first by rewrite each ?mem_head.
by rewrite IH // => j js; rewrite each // inE js orbT.
Qed.

(* ------------------------------------------------ the terms of a network, at the difference of two runs *)

Section Soundness.
Variable C : certificate.
Local Notation N := (denominator C).
Local Notation t := (slope_denominator C).
Hypothesis N_positive : (0 < N)%Z.
Hypothesis t_positive : (0 < t)%Z.

Let N_nonzero : N%:z != 0.
Proof. by rewrite gt_eqF // of_Z_gt0. Qed.

Let t_nonzero : t%:z != 0.
Proof. by rewrite gt_eqF // of_Z_gt0. Qed.

Lemma dot_side (p h z r : seq R) row a i : (size row <= size h)%nat -> (i < size z)%nat ->
  dot (side C (size p) (size p + size h + i) row a) (p ++ h ++ z ++ r)
  = N%:z * t%:z * nth 0 z i - a%:z * dot row h.
Proof.
move=> le lt; rewrite /side dot_plus dot_unit dot_shift dot_scale dot_prefix // of_ZN of_ZM mulNr; congr (_ * _ - _).
by rewrite catA nth_cat size_cat ltnNge leq_addr /= addKn nth_cat lt.
Qed.

(* A side at two runs, by difference quotients. *)
Lemma side_quotient a d u v c :
  N%:z * t%:z * d - a%:z * (u - v) = N%:z * t%:z * (d - a%:z / t%:z * (u / N%:z + c - (v / N%:z + c))).
Proof.
have -> : u - v = (u / N%:z - v / N%:z) * N%:z by rewrite mulrBl !divfK.
have -> : a%:z * ((u / N%:z - v / N%:z) * N%:z) = a%:z / t%:z * t%:z * ((u / N%:z - v / N%:z) * N%:z) by rewrite divfK.
move: (u / _) (v / _) (a%:z / _) => U V A; identity R.
Qed.

Definition slopes_of (size : nat) (low high : seq Z) (f : nat -> R -> R) :=
  forall i, (i < size)%nat -> slopes R ((nth 0%Z low i)%:z / t%:z) ((nth 0%Z high i)%:z / t%:z) (f i).

Lemma layer_terms_nonpositive p h h' r W low high multipliers f c :
  size h = size h' -> all (fun row => size row <= size h)%nat W -> all (fun l => (0 <=? l)%Z) multipliers ->
  slopes_of (size W) low high f ->
  value (layer_terms C (size p) (size h) W low high multipliers)
    (p ++ diff h h' ++ diff (layer N f W c h) (layer N f W c h') ++ r) <= 0.
Proof.
move=> same fits positive slope; apply: value_le0 => i; rewrite mem_iota add0n /= => lt.
have sizes : size (layer N f W c h) = size (layer N f W c h') by rewrite !size_layer.
have fit : (size (nth [::] W i) <= size (diff h h'))%nat by rewrite size_diff // (all_nthP [::] fits).
rewrite -(size_diff _ _ same) !dot_side ?size_diff ?size_layer ?(all_nthP [::] fits) //.
rewrite nth_diff ?size_layer // !nth_layer // dot_diff // !(side_quotient _ _ _ _ (c i)).
set u := dot _ h / _ + _; set v := dot _ h' / _ + _.
have := sector _ _ _ _ u v (slope i lt); set A := f i u - _ - _; set B := f i u - _ - _ => AB.
have -> : N%:z * t%:z * A * (N%:z * t%:z * B) = (N%:z * t%:z) ^+ 2 * (A * B) by identity R.
have nonnegative : 0 <= (nth 0%Z multipliers i)%:z.
  apply: of_Z_ge0; case: (ltnP i (size multipliers)) => [inside | outside]; last by rewrite nth_default.
  by apply/Z.leb_spec0; exact: (all_nthP 0%Z positive).
by rewrite mulr_ge0_le0 // mulr_ge0_le0 ?sqr_ge0.
Qed.

Lemma output_terms_value p h h' c :
  size h = size h' -> all (fun row => size row <= size h)%nat (output C) ->
  value (output_terms C (size p) (output C)) (p ++ diff h h' ++ [::])
  = - ((bound_denominator C)%:z * N%:z ^+ 2
       * norm2 (diff (layer N (fun _ => id) (output C) c h) (layer N (fun _ => id) (output C) c h'))).
Proof.
move=> same; elim: (output C) c => [|f F IH] c /=; first by rewrite /norm2 big_nil mulr0 oppr0.
case/andP => fit fits; rewrite (IH (fun i => c i.+1) fits).
rewrite cats0 !dot_shift of_ZN dot_diff //.
have layer_cons : forall k, layer N (fun _ => id) (f :: F) c k
  = (dot f k / N%:z + c 0%nat) :: layer N (fun _ => id) F (fun i => c i.+1) k.
  by move=> k; rewrite /layer /= -[1%nat]/(1 + 0)%nat iotaDl -map_comp.
rewrite !layer_cons /diff /= -!/(diff _ _) /norm2 big_cons.
have -> : dot f h - dot f h' = (dot f h / N%:z - dot f h' / N%:z) * N%:z by rewrite mulrBl !divfK.
move: (dot f h / _) (dot f h' / _) (\sum_(t <- _) _) => u v s; identity R.
Qed.

Variables (phi : nat -> nat -> R -> R) (b : nat -> nat -> R).

Lemma network_terms_value p g Ws lows highs multipliers h h' :
  size h = size h' -> shaped C (size h) Ws -> all (all (fun l => (0 <=? l)%Z)) multipliers ->
  (forall k, (k < size Ws)%nat -> slopes_of (size (nth [::] Ws k)) (nth [::] lows k) (nth [::] highs k) (phi (g + k)%nat)) ->
  value (network_terms C (size p) (size h) Ws lows highs multipliers)
    (p ++ diff h h' ++ diff (trace N phi b g Ws h) (trace N phi b g Ws h'))
  <= - ((bound_denominator C)%:z * N%:z ^+ 2
        * norm2 (diff (network N phi b g Ws (output C) h) (network N phi b g Ws (output C) h'))).
Proof.
elim: Ws p g lows highs multipliers h h' => [|W Ws IH] p g lows highs multipliers h h' same.
  by move=> /= fits _ _; rewrite (output_terms_value _ _ _ (b g)).
case/andP => fits shape positive slope /=; rewrite value_cat.
set z := layer _ _ _ _ h; set z' := layer _ _ _ _ h'.
have sizes : size z = size z' by rewrite !size_layer.
rewrite diff_cat // -[X in _ <= X]add0r; apply: ler_add.
  apply: layer_terms_nonpositive => //; first by case: (multipliers) positive => //= ? ? /andP [].
  by have := slope 0%nat isT; rewrite addn0 !nth0.
have -> : (size p + size h)%nat = size (p ++ diff h h') by rewrite size_cat size_diff.
rewrite catA -(size_layer N (phi g) W (b g) h); apply: IH => //.
- by rewrite size_layer.
- by case: (multipliers) positive => //= ? ? /andP [].
- by move=> k lt; have := slope k.+1 lt; rewrite !nth_behead addnS.
Qed.
End Soundness.

(* Biases and activations are whatever they are, as long as the slopes are what the certificate says. *)
Theorem valid_sound (C : certificate) (phi : nat -> nat -> R -> R) (b : nat -> nat -> R) :
  valid C ->
  (forall g, (g < size (hidden C))%nat ->
   slopes_of C (size (nth [::] (hidden C) g)) (nth [::] (low C) g) (nth [::] (high C) g) (phi g)) ->
  forall x x', size x = inputs C -> size x' = inputs C ->
  norm2 (diff (network (denominator C) phi b 0 (hidden C) (output C) x)
              (network (denominator C) phi b 0 (hidden C) (output C) x'))
  <= (bound C)%:z / (bound_denominator C)%:z * norm2 (diff x x').
Proof.
case/andP => /Z.ltb_spec0 N0 /andP [/Z.ltb_spec0 t0 /andP [/Z.ltb_spec0 Q0 /andP [/Z.leb_spec0 k0]]].
case/andP => shape /andP [multiplier /andP [positive checked]].
move=> slope x x' sx sx'; have same : size x = size x' by rewrite sx.
pose r := diff (trace (denominator C) phi b 0 (hidden C) x) (trace (denominator C) phi b 0 (hidden C) x').
have := dominant_nonnegative R _ _ _ (over (scaling C) (diff x x' ++ r)) k0 checked.
rewrite form_triangle // value_cat /input_terms.
have -> : inputs C = size (diff x x') by rewrite size_diff.
rewrite (value_squares _ [::]) => whole.
have := network_terms_value C N0 t0 phi b [::] 0 (hidden C) (low C) (high C) (multipliers C) x x' same.
rewrite sx => /(_ shape multiplier slope); rewrite -/r => below.
have Q1 : 0 < (bound_denominator C)%:z by rewrite of_Z_gt0.
have N1 : 0 < (denominator C)%:z ^+ 2 by rewrite exprn_gt0 // of_Z_gt0.
move: whole below; rewrite size_diff // sx !of_ZM => whole below.
have := le_trans whole (ler_add (lexx _) below); set d := norm2 _; set y := norm2 _.
have -> : forall P Q M : R, P * (M * M) * d - Q * M ^+ 2 * y = M ^+ 2 * (P * d - Q * y).
  by move=> P Q M; identity R.
rewrite pmulr_rge0 // subr_ge0 => final.
by rewrite mulrAC ler_pdivl_mulr // (mulrC y).
Qed.

(* ------------------------------------------------ one activation for all neurons *)

Section Uniform.
Variable C : certificate.
Local Notation N := (denominator C).
Local Notation t := (slope_denominator C).

(* What a certificate proves of a network all of whose neurons have the activation f. *)
Definition bounded (f : R -> R) :=
  forall (b : nat -> nat -> R) x x', size x = inputs C -> size x' = inputs C ->
  norm2 (diff (network N (fun _ _ => f) b 0 (hidden C) (output C) x)
              (network N (fun _ _ => f) b 0 (hidden C) (output C) x'))
  <= (bound C)%:z / (bound_denominator C)%:z * norm2 (diff x x').

(* All slopes are in [low0 / t, high0 / t]. *)
Definition uniform (low0 high0 : Z) :=
  low C = [seq nseq (size W) low0 | W <- hidden C] /\ high C = [seq nseq (size W) high0 | W <- hidden C].

Hypothesis checked : valid C.

Let t_nonzero : t%:z != 0.
Proof. by case/andP: checked => _ /andP [/Z.ltb_spec0 t0 _]; rewrite gt_eqF // of_Z_gt0. Qed.

Theorem uniform_sound low0 high0 f :
  uniform low0 high0 -> slopes R (low0%:z / t%:z) (high0%:z / t%:z) f -> bounded f.
Proof.
case=> lows highs slope b; apply: valid_sound => // g lt i lti.
by rewrite lows highs !(nth_map [::]) // !nth_nseq lti.
Qed.

Corollary relu_sound : uniform 0 t -> bounded (relu R).
Proof. by move/uniform_sound; apply; rewrite of_Z0 mul0r divff //; exact: slopes_relu. Qed.

Corollary leaky_relu_sound s : (s <= t)%Z -> uniform s t -> bounded (leaky_relu R (s%:z / t%:z)).
Proof.
move=> st /uniform_sound; apply; rewrite divff //; apply: slopes_leaky_relu.
have t0 : 0 < t%:z by case/andP: checked => _ /andP [/Z.ltb_spec0 t0 _]; rewrite of_Z_gt0.
by rewrite ler_pdivr_mulr // mul1r of_Z_le.
Qed.

Corollary abs_sound : uniform (- t) t -> bounded (fun a => `|a|).
Proof. by move/uniform_sound; apply; rewrite of_ZN mulNr divff //; exact: slopes_abs. Qed.
End Uniform.
End Meaning.
