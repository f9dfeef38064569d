"""What is known of a state before it is observed: climatology, library of states, background."""
