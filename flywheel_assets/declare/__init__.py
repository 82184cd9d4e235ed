"""What a user writes: frozen, validated dataclasses, in the order of the flow."""
