"""What is wrong with a node and the machine that it is on, each in one sentence with the mend."""
