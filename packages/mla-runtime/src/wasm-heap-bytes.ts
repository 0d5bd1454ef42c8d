/**
 * Where the memory of tfjs's wasm ends: "offset is out of bounds" of an address space of 4 GiB, less
 * what fragments. Packed matrices lie outside of it.
 */
export const WASM_HEAP_BYTES = 3.8e9;
