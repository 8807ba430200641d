// Plots of the console and of reports, drawn by uPlot where lines are.
