// The page Calibration.

import { empty } from "./elements.js";

export const title = "Calibration";

/** Draw the page. */
export async function show(main) {
  main.append(empty("This page is not there yet."));
}
