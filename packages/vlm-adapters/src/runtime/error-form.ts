/**
 * Errors as plain values: structured clone keeps of an `Error` neither `code` nor other fields, and
 * the names of few classes.
 */

export interface ErrorForm {
  name: string;
  message: string;
  stack?: string | undefined;
  /** `code` and other fields that are plain values. */
  fields: Record<string, string | number | boolean>;
  cause?: ErrorForm | undefined;
}

/** A chain that is longer, or goes round, is cut. */
const MAX_CAUSES = 8;

export function toErrorForm(error: unknown, depth = 0): ErrorForm {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), fields: {} };
  const { name, message, stack, cause } = error;
  const own = { ...error, code: (error as { code?: unknown }).code };
  const fields = Object.fromEntries(
    Object.entries(own).filter(([key, value]) => key !== 'name' && isPlain(value)),
  ) as ErrorForm['fields'];
  const form: ErrorForm = { name, message, stack, fields };
  if (cause !== undefined && depth < MAX_CAUSES) form.cause = toErrorForm(cause, depth + 1);
  return form;
}

/** @returns an `Error` with the name, the fields and the causes of the one that was sent. */
export function fromErrorForm({ name, message, stack, fields, cause }: ErrorForm): Error {
  const error = new Error(message, cause && { cause: fromErrorForm(cause) });
  const hidden = { value: name, configurable: true, writable: true };
  Object.defineProperty(error, 'name', hidden);
  if (stack !== undefined) error.stack = stack;
  return Object.assign(error, fields);
}

function isPlain(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}
