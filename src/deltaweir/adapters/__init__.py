"""What other people's libraries and data give to the pure core, each behind one name of ours."""
