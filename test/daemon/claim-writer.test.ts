import { expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { DEFAULT_VNI, type Mac } from '../../src/base/ids.ts';
import type { AttachmentRecord } from '../../src/base/records.ts';
import { type ClaimChange, ClaimWriter } from '../../src/daemon/claim-writer.ts';
import { attachmentRecord } from './own-map.ts';

function claim(number: number): AttachmentRecord {
  return attachmentRecord(`02:00:00:00:00:${number.toString(16).padStart(2, '0')}`, [`10.32.0.${number}`]);
}

function macOf(change: ClaimChange): Mac {
  return change.kind === 'publish' ? change.record.mac : change.mac;
}

/** `refuses` says which of what is written together the store does not take. */
function setUp(refuses: (changes: readonly ClaimChange[]) => boolean = () => false) {
  const due: (() => void)[] = [];
  const written: (readonly ClaimChange[])[] = [];
  const claims = new ClaimWriter({
    timers: {
      soon: (run) => {
        due.push(run);
        return () => undefined;
      },
    },
    write: (changes) => {
      if (refuses(changes)) throw new FabricError('limit', { what: 'the store is full' });
      written.push(changes);
    },
  });
  const turn = () => {
    for (const run of due.splice(0)) run();
  };
  return { claims, written, turn };
}

test('what comes in one turn is written together, in order, and once', async () => {
  const { claims, written, turn } = setUp();
  const asked = [claims.publish(claim(1)), claims.withdraw(DEFAULT_VNI, claim(2).mac), claims.publish(claim(3))];
  expect(written).toEqual([]);
  turn();
  await Promise.all(asked);
  expect(written.map((changes) => changes.map(({ kind }) => kind))).toEqual([['publish', 'withdraw', 'publish']]);
  turn();
  expect(written.length).toBe(1);
});

test('nobody is answered before it is written', async () => {
  const { claims, turn } = setUp();
  let answered = false;
  const asked = claims.publish(claim(1)).then(() => {
    answered = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(answered).toBe(false);
  turn();
  await asked;
  expect(answered).toBe(true);
});

test('the next turn writes what came after the first', async () => {
  const { claims, written, turn } = setUp();
  const first = claims.publish(claim(1));
  turn();
  const second = claims.publish(claim(2));
  turn();
  await Promise.all([first, second]);
  expect(written.map((changes) => changes.map(macOf))).toEqual([[claim(1).mac], [claim(2).mac]]);
});

test('one that can not be written fails alone', async () => {
  const { claims, written, turn } = setUp((changes) => changes.some((change) => macOf(change) === claim(2).mac));
  const asked = [1, 2, 3].map((number) => claims.publish(claim(number)));
  turn();
  const outcomes = await Promise.allSettled(asked);
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(outcomes[1]).toMatchObject({ reason: { code: 'limit' } });
  expect(written.map((changes) => changes.map(macOf))).toEqual([[claim(1).mac], [claim(3).mac]]);
});

test('when nothing can be written all fail, and later ones are tried again', async () => {
  let isFull = true;
  const { claims, written, turn } = setUp(() => isFull);
  const asked = [1, 2].map((number) => claims.publish(claim(number)));
  turn();
  expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  isFull = false;
  const later = claims.publish(claim(3));
  turn();
  await later;
  expect(written.length).toBe(1);
});
