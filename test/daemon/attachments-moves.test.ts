import { describe, expect, test } from 'vitest';
import type { Mac } from '../../src/base/ids.ts';
import { never, request, setUp, turn } from './attachments-world.ts';

const MAC = '02:11:22:33:44:55' as Mac;

describe('a container that comes from another host', () => {
  test('waits until that host has let its MAC go', async () => {
    const { attachments, world, claims } = setUp();
    let holder: string | null = 'the host b';
    let release = (): void => undefined;
    world.macHolder = () => holder;
    world.macReleased = () =>
      new Promise((resolve) => {
        release = () => {
          holder = null;
          resolve();
        };
      });
    const attached = attachments.attach(request({ mac: MAC }), never);
    await turn();
    expect(claims.size).toBe(0);
    release();
    expect((await attached).mac).toBe(MAC);
  });

  test.each([
    ['its MAC', MAC, request({ mac: MAC })],
    ['its address', '10.32.0.9', request({ addresses: { ips: ['10.32.0.9/12'], ranges: [] } })],
  ])('is refused while %s moves too often, and told', async (_name, what, wish) => {
    const { attachments, world, told, leftOver } = setUp();
    world.heldMove = (candidate) => (candidate === what ? 'it moved 5 times' : null);
    const refusal = { code: 'address-held', explanation: { what: `${what} may not move here now` } };
    await expect(attachments.attach(wish, never)).rejects.toMatchObject(refusal);
    expect(told).toMatchObject([{ kind: 'duplicate', subject: 'c1' }]);
    expect(leftOver()).toMatchObject({ entries: 0, claims: 0, addresses: 0, ports: 0 });
    world.heldMove = () => null;
    await attachments.attach(wish, never);
  });

  test.each([[true], [false]])('announces its address if neighbours may know another MAC: %s', async (moved) => {
    const { attachments, world, host } = setUp({ range6: false });
    world.hasMoved = () => moved;
    await attachments.attach(request(), never);
    expect(host.announced).toHaveLength(moved ? 1 : 0);
  });
});
