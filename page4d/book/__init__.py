"""Running the chapters and building the book from their executed copies."""
