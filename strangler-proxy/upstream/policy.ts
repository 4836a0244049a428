/** When an instance that fails is left out, and for how long. */
export type EjectionPolicy = {
  /** So many failures in a row eject. */
  consecutiveFailures: number;
  /** The window over which the share of failures is taken. */
  windowMs: number;
  /** Fewer outcomes than this in the window say nothing about the share. */
  minimumVolume: number;
  /** This share of failures in the window ejects: 0.5 is half of them. */
  failureShare: number;
  /** The first ejection lasts so long, the nth in a row n times as long. */
  baseMs: number;
  /** No ejection lasts longer. */
  maxMs: number;
  /** An ejection is shortened by up to this share of its length, so that proxies do not probe in step. */
  jitterShare: number;
  /** An instance healthy for so long starts again from the first ejection's length. */
  forgiveAfterMs: number;
  /** A probe that has not ended after so long (a stream may last for hours) no longer bars the next one. */
  probePatienceMs: number;
};

/** When an upstream as a whole is left alone. */
export type BreakerPolicy = {
  windowMs: number;
  minimumVolume: number;
  failureShare: number;
  /** The circuit stays open so long at first, n times as long when it opens for the nth time in a row. */
  openMs: number;
  maxOpenMs: number;
  /** So many requests at a time try a half-open circuit. */
  trials: number;
  /** So many of them must go well to close it; one failure opens it again. */
  successesToClose: number;
  /** Trials that have not ended after so long no longer bar further ones. */
  trialPatienceMs: number;
};

export type UpstreamPolicy = {
  ejection: EjectionPolicy;
  breaker: BreakerPolicy;
  /** Leases out at one time, over all instances; streams and WebSockets hold theirs until they end. */
  maxConcurrent: number;
  /** A new instance takes a growing share of its turns for so long; 0 gives it all of them at once. */
  slowStartMs: number;
  /**
   * What happens when the last instance in use fails. `eject`: all may be ejected, as there is somewhere else to go
   * (the monolith). `keep`: the last one is never ejected, as there is nowhere else to go.
   */
  lastInstance: 'eject' | 'keep';
};

export const servicePolicy: UpstreamPolicy = {
  ejection: {
    consecutiveFailures: 3,
    windowMs: 10_000,
    minimumVolume: 10,
    failureShare: 0.5,
    baseMs: 1_000,
    maxMs: 30_000,
    jitterShare: 0.2,
    forgiveAfterMs: 30_000,
    probePatienceMs: 10_000,
  },
  breaker: {
    windowMs: 10_000,
    minimumVolume: 20,
    failureShare: 0.5,
    openMs: 1_000,
    maxOpenMs: 10_000,
    trials: 1,
    successesToClose: 2,
    trialPatienceMs: 10_000,
  },
  maxConcurrent: 1_000,
  slowStartMs: 0,
  lastInstance: 'eject',
};

/**
 * Nothing stands behind the monolith: an open circuit there is an outage. So it takes nearly every one of many attempts
 * to open it, it is tried again after a quarter of a second, and by several requests at a time.
 */
export const monolithPolicy: UpstreamPolicy = {
  ...servicePolicy,
  breaker: {
    windowMs: 5_000,
    minimumVolume: 50,
    failureShare: 0.9,
    openMs: 250,
    maxOpenMs: 1_000,
    trials: 5,
    successesToClose: 2,
    trialPatienceMs: 2_000,
  },
  maxConcurrent: 2_000,
  lastInstance: 'keep',
};
