/** A safetensors file in two parts, for tests that edit its header and keep its length true. */

export interface SafetensorsParts {
  header: Record<string, unknown>;
  body: Uint8Array;
}

export function splitSafetensors(bytes: Uint8Array): SafetensorsParts {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  const end = 8 + Number(length);
  const text = new TextDecoder().decode(bytes.subarray(8, end));
  return { header: JSON.parse(text), body: bytes.slice(end) };
}

export function joinSafetensors(headerText: string, body: Uint8Array): Uint8Array {
  const header = new TextEncoder().encode(headerText);
  const bytes = new Uint8Array(8 + header.length + body.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  bytes.set(body, 8 + header.length);
  return bytes;
}
