"""What streams tell the ledger, and who writes it; no stream waits for a disk."""
