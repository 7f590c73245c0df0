"""Controls that import nothing of the suite: their files are put into packages as they stand here."""
