"""What the two services ought to do, written as the contract says it: nothing of their code is in here."""
