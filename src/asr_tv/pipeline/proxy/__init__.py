"""The synthetic proxy: sentences kept out of training, spoken by an engine and voices that training never heard."""
