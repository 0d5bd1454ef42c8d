/** A server between a client and another, which does to answers what a bad network or server would. */
import { createServer, type IncomingHttpHeaders, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Uint8Array;
}

export interface MeddlingProxy {
  url: string;
  /** Answers to GET in the server's place; `undefined` lets its answer pass. */
  meddle: ((answer: Answer, response: ServerResponse) => void) | undefined;
  close(): void;
}

/** @param target `http://HOST:PORT` */
export async function meddlingProxy(target: string): Promise<MeddlingProxy> {
  const server = createServer((incoming, response) => {
    const { method, headers, url } = incoming;
    const outgoing = request(new URL(url!, target), { method, headers }, async (answer) => {
      const parts: Uint8Array[] = [];
      for await (const part of answer) parts.push(part);
      const [status, own, body] = [answer.statusCode!, answer.headers, Buffer.concat(parts)];
      if (method === 'GET' && proxy.meddle) proxy.meddle({ status, headers: own, body }, response);
      else response.writeHead(status, own).end(body);
    });
    incoming.pipe(outgoing);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const proxy: MeddlingProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    meddle: undefined,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return proxy;
}
