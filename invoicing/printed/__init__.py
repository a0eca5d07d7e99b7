"""What the PDFs of invoices and credit notes say, as text ready to be set: the template composes nothing."""
