"""Bad input of every kind: nothing but a message comes of it. `make fuzz` runs all of it."""
