import type { Message } from '@mha2mla/vlm-adapters';

export function textMessage(role: string, text: string): Message {
  return { role, content: [{ type: 'text', text }] };
}
