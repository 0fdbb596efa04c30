import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { firstLineOf } from '../../src/cli/first-line.ts';

function streamOf(...chunks: readonly string[]): PassThrough {
  const stream = new PassThrough();
  for (const chunk of chunks) stream.write(chunk);
  return stream;
}

describe('the first line of a stream', () => {
  test.each([
    ['a whole line', ['token\n']],
    ['pieces', ['to', 'ken', '\n']],
    ['more lines behind', ['token\nother\n']],
    ['white space around', [' token \r\n']],
  ])('%s', async (_, chunks) => {
    expect(await firstLineOf(streamOf(...chunks))).toBe('token'); // although the stream has not ended
  });

  test('a stream that ends without a line end', async () => {
    expect(await firstLineOf(streamOf('token').end())).toBe('token');
    expect(await firstLineOf(new PassThrough().end())).toBe('');
  });

  test('a writer that comes late', async () => {
    const stream = new PassThrough();
    const line = firstLineOf(stream);
    setImmediate(() => stream.write('token\n'));
    expect(await line).toBe('token');
  });

  test('no line at all', async () => {
    await expect(firstLineOf(streamOf('x'.repeat(5000)))).rejects.toMatchObject({ code: 'usage' });
  });

  test('the stream is closed', async () => {
    const stream = streamOf('token\nother\n');
    await firstLineOf(stream);
    expect(stream.destroyed).toBe(true);
  });
});
