/** A little more, and 127 steps would overflow float32. */
export const INT8_MAX_SCALE = (3.4028234663852886e38 / 127) * (1 - 2 ** -23);
