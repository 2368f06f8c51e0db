"""The public names of Thunder 0.5.1, 0.6.0 and 1.4.2, by class. Names alone.

What classes inherit stands once, under ``Data``: what Images and Series of either version have in
common, and what 1.4.2 defines for both by itself. Functions of 1.4.2's modules ``thunder.images``
and ``thunder.series`` are under ``images`` and ``series``, and names of the package under
``thunder``. Not here is what no script uses: readers and writers of files and of S3, bundled copies
of other libraries, the layout of blocks before they are made, and the set-up of EC2.
"""

from __future__ import annotations

DATA_0_5 = (
    "nrecords dtype first take get getMany getRange keys values astype apply applyKeys applyValues "
    "collect collectAsArray collectKeysAsArray collectValuesAsArray sortByKey count mean sum "
    "variance stdev stats max min coalesce repartition cache filter filterOnKeys filterOnValues "
    "rdd populateParamsFromFirstRecord"
)
IMAGES_0_5 = (
    "dims toBlocks toSeries toTimeSeries saveAsBinarySeries saveAsBinaryImages saveAsPngs "
    "maxProjection maxminProjection subsample gaussianFilter uniformFilter medianFilter crop "
    "meanByRegions planes subtract renumber"
)
SERIES_0_5 = (
    "dims index between select center standardize zscore squelch correlate seriesMax seriesMin "
    "seriesSum seriesMean seriesMedian seriesPercentile seriesStdev seriesStat seriesStats "
    "maxProject subToInd indToSub pack subset query meanOfRegion meanByRegions toImages toBlocks "
    "saveAsBinarySeries toRowMatrix toTimeSeries toSpatialSeries selectByIndex "
    "seriesAggregateByIndex seriesStatByIndex seriesSumByIndex seriesMeanByIndex "
    "seriesMedianByIndex seriesStdevByIndex seriesMaxByIndex seriesMinByIndex seriesCountByIndex"
)
TIME_SERIES_0_5 = "subsample fourier convolve crossCorr detrend normalize"
CONTEXT_0_5 = (
    "start loadImages loadImagesAsSeries loadImagesOCP loadSeries convertImagesToSeries "
    "loadExample loadExampleS3 makeExample loadParams export setAWSCredentials"
)
STATISTICS = (
    "merge mergeStats copy count mean sum min max variance sampleVariance stdev sampleStdev"
)
SERIALIZABLE = "save load serialize deserialize toJSON fromJSON"

BOTH_0 = {
    "Blocks": "dims nimages toImages toSeries toBinarySeries saveAsBinarySeries",
    "SpatialSeries": "mapToNeighborhood localCorr",
    "RowMatrix": ("nrows ncols rows cov gramian times elementwise plus minus dotTimes dotDivide"),
    "Dimensions": "min max count merge mergeDims fromTuple",
    "StatCounter": STATISTICS,
    "Params": "names values",
    "DataSets": "make appendKeys",
    "RegistrationMethod": "prepare isPrepared getTransform fit run",
    "RegistrationModel": f"transformations toArray transform {SERIALIZABLE}",
    "Displacement": f"delta toArray apply {SERIALIZABLE}",
    "PlanarDisplacement": f"delta toArray apply {SERIALIZABLE}",
    "SVD": "calc u s v",
    "PCA": "fit transform comps latent scores",
    "ICA": "fit w a sigs",
    "NMF": "fit w h",
    "KMeans": "fit",
    "KMeansModel": "centers calc predict similarity",
    "TuningModel": "load get fit",
    "MassUnivariateClassifier": "load get fit",
}

NAMES: dict[str, dict[str, str]] = {
    "0.5.1": {
        "thunder": (
            "ThunderContext Images Series TimeSeries SpatialSeries RowMatrix Colorize DataSets "
            "Registration RegistrationModel CrossCorr PlanarCrossCorr PCA SVD ICA NMF KMeans "
            "KMeansModel RegressionModel MeanRegressionModel LinearRegressionModel "
            "BilinearRegressionModel TuningModel GaussianTuningModel CircularTuningModel "
            "MassUnivariateClassifier GaussNaiveBayesClassifier TTestClassifier"
        ),
        "Data": DATA_0_5,
        "Images": IMAGES_0_5,
        "Series": SERIES_0_5,
        "TimeSeries": f"{TIME_SERIES_0_5} triggeredAverage blockedAverage",
        "ThunderContext": CONTEXT_0_5,
        "Colorize": "image transform blend optimize",
        "Registration": "load",
        "RegressionModel": "load get fit",
        **BOTH_0,
    },
    "0.6.0": {
        "thunder": (
            "ThunderContext Images Series TimeSeries SpatialSeries RowMatrix Colorize DataSets "
            "Registration RegistrationModel PCA SVD ICA NMF KMeans KMeansModel LinearRegression "
            "OrdinaryLinearRegression TikhonovLinearRegression RidgeLinearRegression TuningModel "
            "GaussianTuningModel CircularTuningModel MassUnivariateClassifier "
            "GaussNaiveBayesClassifier TTestClassifier SourceExtraction Source SourceModel"
        ),
        "Data": f"{DATA_0_5} range shape",
        "Images": f"{IMAGES_0_5} localCorr",
        "Series": f"{SERIES_0_5} meanByFixedLength groupByFixedLength",
        "TimeSeries": f"{TIME_SERIES_0_5} meanByWindow groupByWindow",
        "ThunderContext": (
            f"{CONTEXT_0_5} loadImagesFromArray loadSeriesFromArray loadJSON loadSources "
            "addPyFile stop"
        ),
        "Colorize": "image tile transform blend optimize",
        "Registration": "load",
        "LinearRegression": "fit",
        "RegressionModel": "coeffs stats predict score predictAndScore",
        "SourceExtraction": "load deserialize fit run",
        "Source": (
            "center polygon bbox area restore distance overlap merge tolist toarray crop dilate "
            f"exclude outline transform mask inbounds fromMask fromCoordinates {SERIALIZABLE}"
        ),
        "SourceModel": (
            "combiner coordinates values centers polygons areas count masks match distance overlap "
            "similarity transform clean dilate outline crop save load deserialize"
        ),
        **BOTH_0,
    },
    "1.4.2": {
        "images": (
            "fromrdd fromarray fromlist frompath frombinary fromtif frompng fromrandom fromexample"
        ),
        "series": "fromrdd fromarray fromlist fromtext frombinary fromrandom fromexample",
        "Data": (
            "dtype shape mode values tordd compute coalesce cache uncache iscached npartitions "
            "repartition baseaxes baseshape value_shape labels astype toarray tospark tolocal "
            "count first mean sum var std max min filter map reduce sample foreach element_wise "
            "plus minus dottimes dotdivide clip reshape squeeze"
        ),
        "Images": (
            "toblocks toseries max_projection max_min_projection subsample gaussian_filter "
            "uniform_filter median_filter localcorr subtract topng totif tobinary map_as_series"
        ),
        "Series": (
            "index length flatten between select center standardize zscore squelch correlate "
            "mean_by_panel select_by_index aggregate_by_index stat_by_index sum_by_index "
            "mean_by_index median_by_index std_by_index max_by_index min_by_index count_by_index "
            "cov gramian times mean_by_window subsample downsample fourier convolve crosscorr "
            "detrend normalize toimages tobinary"
        ),
        "Blocks": (
            "blockshape padding count collect_blocks map map_generic first toimages toseries "
            "toarray"
        ),
    },
}


def all_names() -> list[str]:
    """Every name once, as ``Class.name``; classes by themselves."""
    found = {
        name if kind == "thunder" else f"{kind}.{name}"
        for kinds in NAMES.values()
        for kind, names in kinds.items()
        for name in names.split()
    }
    kinds = {kind for kinds in NAMES.values() for kind in kinds}
    return sorted(found | (kinds - {"thunder", "images", "series", "Data"}))
