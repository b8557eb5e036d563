"""Pages for people: what a run did, what came of it, and what it rests on."""
