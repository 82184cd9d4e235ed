"""``python -m flywheel_assets.cli``."""

from flywheel_assets.cli import main

if __name__ == "__main__":
    main()
