// The port to the local bridge as the pcap datapath sees it: frames in, frames out. The real one is a veth behind libpcap
// (pcap-port.ts); tests plug in a port in memory, so that the whole datapath runs without root.

export interface FramePortEvents {
  /** A frame from the bridge. `bytes` is valid only during the call; `wireBytes` is larger when the capture cut it off. */
  frame(bytes: Uint8Array, wireBytes: number): void;
  /** The interface is gone or down; the port has closed itself. */
  failed(reason: string): void;
}

export interface FramePort {
  /** Throws FabricError (`kernel-feature-missing`, `not-root`). Called once. */
  open(events: FramePortEvents): void;
  /** Towards the bridge; false when the kernel refused the frame. Keeps no reference. */
  inject(frame: Uint8Array): boolean;
  /** Frames that never reached {@link FramePortEvents.frame}, since the start. */
  losses(): { readonly overload: number; readonly captureOverrun: number };
  /** Idempotent; no event follows. */
  close(): void;
}
