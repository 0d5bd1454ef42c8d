/** What tests read of the repository by `node:fs`, in a page: from the server that has the tests. */

export function readFileSync(path: string): Uint8Array<ArrayBuffer>;
export function readFileSync(path: string, encoding: 'utf8'): string;
export function readFileSync(path: string, encoding?: 'utf8'): Uint8Array<ArrayBuffer> | string {
  const request = new XMLHttpRequest();
  request.open('GET', path, false);
  // Bytes of a request that is not awaited come as text: the lower halves of these characters.
  request.overrideMimeType('text/plain; charset=x-user-defined');
  request.send();
  if (request.status !== 200) {
    throw new Error(`readFileSync: ${path} must be served, got ${request.status}.`);
  }
  const text = request.responseText;
  const bytes = Uint8Array.from({ length: text.length }, (_, i) => text.charCodeAt(i) & 255);
  return encoding ? new TextDecoder().decode(bytes) : bytes;
}
