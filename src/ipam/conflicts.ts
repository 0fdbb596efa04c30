// Addresses that this host handed out and that belong to another one by now: each is reported once, and again only after it was freed.

import type { IpAddress } from '../base/address.ts';
import { formatIp } from '../base/address.ts';
import type { Log } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';
import type { IpamEvents, Reservation } from './types.ts';

export interface ConflictPorts {
  readonly log: Log;
  readonly reservations: () => readonly Reservation[];
  readonly ownerOf: (ip: IpAddress) => PeerId | null;
  readonly conflict: IpamEvents['conflict'];
}

export class Conflicts {
  readonly #ports: ConflictPorts;
  readonly #reported = new Set<string>();

  constructor(ports: ConflictPorts) {
    this.#ports = ports;
  }

  report(): void {
    const { log, reservations, ownerOf, conflict } = this.#ports;
    for (const { ip, owner, conflict: isLost } of reservations()) {
      const text = formatIp(ip);
      if (!isLost || this.#reported.has(text)) continue;
      this.#reported.add(text);
      const holder = ownerOf(ip);
      log.error('address conflict', { ip: text, owner, holder });
      conflict({ ip, owner, holder });
    }
  }

  freed(ip: IpAddress): void {
    this.#reported.delete(formatIp(ip));
  }
}
