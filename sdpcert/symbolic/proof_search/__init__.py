"""The parts of the proof search: what follows at once from the facts, words, gradings, Gram matrices, strategies."""
