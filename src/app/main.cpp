#include "precis/app/program.h"

int main(int argc, char** argv) { return precis::run_program(argc, argv); }
