"""What every program needs: checked arguments, files written whole, interrupts, processes beside this one."""
