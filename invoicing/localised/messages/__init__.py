"""The words of invoices and credit notes, a module for each language."""
