"""3x3 convolutions with a quarter of the multiplications: F(4x4, 3x3) of Winograd and Lavin & Gray (2016)."""
