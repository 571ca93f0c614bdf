"""What TensorFlow Lite Micro allocates: a script for a Python that has tflite-micro.

python peers_tflm.py MODEL.tflite

Runs the model on zeros and prints the allocations of its arena, on stderr or stdout as the
interpreter does.
"""

import sys

import numpy as np
from tflite_micro.python.tflite_micro import runtime

IMAGE = (1, 32, 32, 3)

interpreter = runtime.Interpreter.from_file(sys.argv[1])
interpreter.set_input(np.zeros(IMAGE, np.int8), 0)
interpreter.invoke()
interpreter.print_allocations()
