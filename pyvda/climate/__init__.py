"""Prior knowledge of a state: climatology, library of states, background."""
