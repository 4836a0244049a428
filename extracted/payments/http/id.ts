import { idText } from '@strangler/platform/http/validate.ts';
import { z } from 'zod';

/** The parameters of a route that has one id. */
export const idParams = z.object({ id: idText() });
