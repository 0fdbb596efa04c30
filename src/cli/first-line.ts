// Reads one line from a stream: what a person pastes and ends with Enter, what a pipe brings, now or later. Never reads the
// descriptor by itself: standard input may be non-blocking, and then a synchronous read fails before its writer has written.

import type { Readable } from 'node:stream';
import { FabricError } from '../base/errors.ts';

/** Far more than a token has. */
const LINE_BYTES_MAX = 4096;

/** The first line without its end, or all there is up to the end of the stream; the stream is closed then. */
export async function firstLineOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) {
    text += String(chunk);
    if (text.includes('\n')) break;
    if (text.length > LINE_BYTES_MAX) {
      throw new FabricError('usage', { what: `the input is no line of at most ${LINE_BYTES_MAX} bytes` });
    }
  }
  return text.split('\n', 1)[0]!.trim();
}
