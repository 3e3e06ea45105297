"""What may leave: rules, the automaton that finds them in a stream, and its verdicts. Pure."""
