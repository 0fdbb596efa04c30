import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { written } from '../../src/cli/exit.ts';

test('what a slow reader has not taken yet is waited for', async () => {
  const taken: string[] = [];
  let takeNext: () => void = () => undefined;
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      takeNext = () => {
        taken.push(chunk.toString());
        done();
      };
    },
  });
  stream.write('a');
  stream.write('b');
  let isWritten = false;
  const ended = written(stream).then(() => {
    isWritten = true;
  });
  takeNext();
  await new Promise(setImmediate);
  expect([taken, isWritten]).toEqual([['a'], false]);
  takeNext();
  await new Promise(setImmediate);
  takeNext();
  await ended;
  expect(taken.join('')).toBe('ab');
});

test('a reader that is gone is not waited for', async () => {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
  stream.on('error', () => undefined);
  stream.write('a');
  await written(stream);
  await written(stream);
});
