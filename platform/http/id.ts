import { z } from 'zod';
import { idText } from './validate.ts';

/** The parameters of a route that has one id. */
export const idParams = z.object({ id: idText() });
