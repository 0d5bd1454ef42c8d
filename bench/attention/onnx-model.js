/** An ONNX model as bytes: as much of its protocol buffers (onnx.proto) as the bench's graph needs. */

const TYPES = { float: 1, int32: 6 };
const [VARINT, BYTES] = [0, 2];

/** @returns the file of a graph, opset 17 and onnxruntime's own operators. */
export function model({ nodes, initializers, inputs, outputs }) {
  const graph = Buffer.concat([
    ...nodes.map((one) => bytes(1, one)),
    text(2, 'attention'),
    ...initializers.map((one) => bytes(5, one)),
    ...inputs.map((one) => bytes(11, one)),
    ...outputs.map((one) => bytes(12, one)),
  ]);
  const opset = (domain, version) =>
    bytes(8, Buffer.concat([text(1, domain), integer(2, version)]));
  return Buffer.concat([integer(1, 8), opset('', 17), opset('com.microsoft', 1), bytes(7, graph)]);
}

export function node(type, inputs, outputs, attributes = [], domain = '') {
  return Buffer.concat([
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, type),
    ...attributes.map((one) => bytes(5, one)),
    text(7, domain),
  ]);
}

/** A whole number. */
export function attribute(name, value) {
  const kind = integer(20, 2);
  return Buffer.concat([text(1, name), integer(3, value), kind]);
}

/** A constant of floats. */
export function initializer(name, dims, values) {
  const raw = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return Buffer.concat([
    ...dims.map((size) => integer(1, size)),
    integer(2, TYPES.float),
    text(8, name),
    bytes(9, raw),
  ]);
}

/** An input or output; a size that is a name may be any. */
export function valueInfo(name, type, dims) {
  const sizes = dims.map((size) =>
    bytes(1, typeof size === 'string' ? text(2, size) : integer(1, size)),
  );
  const tensor = Buffer.concat([integer(1, TYPES[type]), bytes(2, Buffer.concat(sizes))]);
  return Buffer.concat([text(1, name), bytes(2, bytes(1, tensor))]);
}

const text = (field, value) => bytes(field, Buffer.from(value));

function bytes(field, content) {
  return Buffer.concat([varint((field << 3) | BYTES), varint(content.length), content]);
}

function integer(field, value) {
  return Buffer.concat([varint((field << 3) | VARINT), varint(value)]);
}

/** Seven bits a byte, the lowest first. */
function varint(value) {
  const parts = [];
  let rest = value;
  while (rest >= 128) {
    parts.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...parts, rest]);
}
