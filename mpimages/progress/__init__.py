"""How far all ranks are, as a bar or in lines, and where the time went."""
