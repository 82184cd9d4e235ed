"""What each stage computes, in the order of the loop: frames in, frames out."""
