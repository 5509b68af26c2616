"""Results of an evaluation: records, the journal that keeps them, tables, a sentence and figures."""
